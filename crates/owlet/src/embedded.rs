//! An embedded DynamoDB that starts when a query needs it.
