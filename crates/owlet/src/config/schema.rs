//! The JSON Schema of `owlet.toml`, made from the types of its settings.

use super::settings::{
    DynamoDbSettings, EngineSettings, MysqlSettings, ObjectSettings, PostgresSettings,
    SqliteSettings,
};

/// The JSON Schema of `owlet.toml`, for editors (`owlet config schema`).
pub fn json_schema() -> serde_json::Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let catalogs: Vec<serde_json::Value> = [
        ("postgres", generator.root_schema_for::<PostgresSettings>()),
        ("mysql", generator.root_schema_for::<MysqlSettings>()),
        ("sqlite", generator.root_schema_for::<SqliteSettings>()),
        ("dynamodb", generator.root_schema_for::<DynamoDbSettings>()),
        ("object", generator.root_schema_for::<ObjectSettings>()),
    ]
    .into_iter()
    .map(|(word, schema)| with_connector(word, schema.to_value()))
    .collect();
    let mut engine = generator.root_schema_for::<EngineSettings>().to_value();
    strip_root_keys(&mut engine);
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "owlet.toml",
        "description": "Configuration of Owlet. Text values may hold ${NAME}, ${NAME:-default} and ${file:path}.",
        "type": "object",
        "properties": {
            "engine": engine,
            "catalog": {
                "description": "Catalogs by name, the first part of catalog.schema.table.",
                "type": "object",
                "additionalProperties": { "oneOf": catalogs },
            },
        },
        "additionalProperties": false,
    })
}

/// Adds the `connector` key, which is read before the settings type is known.
fn with_connector(word: &str, mut schema: serde_json::Value) -> serde_json::Value {
    strip_root_keys(&mut schema);
    schema["title"] = word.into();
    schema["properties"]["connector"] = serde_json::json!({ "const": word });
    match schema
        .get_mut("required")
        .and_then(|required| required.as_array_mut())
    {
        Some(required) => required.insert(0, "connector".into()),
        None => schema["required"] = serde_json::json!(["connector"]),
    }
    schema
}

fn strip_root_keys(schema: &mut serde_json::Value) {
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
    }
}
