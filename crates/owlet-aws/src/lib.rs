//! AWS ways in: credentials per catalog, RDS IAM tokens, Secrets Manager and SSM parameters. Must never know SQL.
