//! Keys of a named profile in the files of the AWS command line. Must never know S3.

use std::collections::HashMap;

use crate::options::S3Credentials;
use crate::s3::aws_file;

/// What a profile gives.
pub struct Profile {
    /// Its keys.
    pub credentials: S3Credentials,
    /// Its region.
    pub region: Option<String>,
}

/// Reads a profile with static keys; a sentence when it has none.
pub fn read_profile(name: &str) -> Result<Profile, String> {
    let mut found: HashMap<String, String> = HashMap::new();
    let files = [
        ("AWS_CONFIG_FILE", "config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    ];
    for (variable, file) in files {
        let Some(path) = aws_file(variable, file) else {
            continue;
        };
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        found.extend(section(&text, name));
    }
    if found.is_empty() {
        return Err(format!(
            "profile {name} is in neither the AWS credentials file nor the AWS config file"
        ));
    }
    let keys = (
        found.remove("aws_access_key_id"),
        found.remove("aws_secret_access_key"),
    );
    let (Some(access_key_id), Some(secret_access_key)) = keys else {
        return Err(format!(
            "profile {name} has no static keys (single sign-on and assumed roles need a chain)"
        ));
    };
    let credentials = S3Credentials {
        access_key_id,
        secret_access_key,
        session_token: found.remove("aws_session_token"),
    };
    Ok(Profile {
        credentials,
        region: found.remove("region"),
    })
}

/// Settings of `[name]` or `[profile name]`.
fn section(text: &str, name: &str) -> HashMap<String, String> {
    let mut settings = HashMap::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim();
        if let Some(title) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let title = title.trim();
            inside = title == name
                || title
                    .strip_prefix("profile ")
                    .is_some_and(|rest| rest.trim() == name);
            continue;
        }
        if !inside || line.starts_with('#') || line.starts_with(';') {
            continue;
        }
        if let Some((key, value)) = line.split_once('=') {
            settings.insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_both_files() {
        let text = "[default]\naws_access_key_id = A\n\n[profile work]\nregion = eu-west-1\n# note\n[work]\n\
                    aws_access_key_id=B\naws_secret_access_key = C=D\n";
        let work = section(text, "work");
        assert_eq!(work.get("region").map(String::as_str), Some("eu-west-1"));
        assert_eq!(work.get("aws_access_key_id").map(String::as_str), Some("B"));
        assert_eq!(
            work.get("aws_secret_access_key").map(String::as_str),
            Some("C=D")
        );
        assert!(section(text, "nobody").is_empty());
    }
}
