//! A small relational algebra and its exact rendering to remote SQL dialects.
