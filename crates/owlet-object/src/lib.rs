//! Files and objects: local paths and S3.
