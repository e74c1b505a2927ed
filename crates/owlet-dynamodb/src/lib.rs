//! DynamoDB connector.
