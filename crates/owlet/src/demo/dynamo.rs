//! The DynamoDB half of the shop in the file of an embedded DynamoDB. Must never know SQLite.

use std::collections::HashMap;
use std::path::Path;

use dynoxide::types::AttributeValue;
use dynoxide::{Database, DynoxideError, ImportOptions};

use super::data::{self, Cart, Note, OrderEvent, Shop, WebSession};

type Item = HashMap<String, AttributeValue>;

/// Writes a new database file.
pub fn write(path: &Path, shop: &Shop) -> Result<(), DynoxideError> {
    let database = Database::new(&path.to_string_lossy())?;
    database.enable_bulk_loading()?;
    create(&database, ORDER_EVENTS)?;
    create(&database, CARTS)?;
    create(&database, SESSIONS)?;
    import(
        &database,
        "order_events",
        shop.order_events.iter().map(order_event).collect(),
    )?;
    import(&database, "carts", shop.carts.iter().map(cart).collect())?;
    import(
        &database,
        "sessions",
        shop.sessions.iter().map(session).collect(),
    )?;
    database.disable_bulk_loading()
}

const ORDER_EVENTS: &str = r#"{
    "TableName": "order_events", "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [
        {"AttributeName": "order_id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}
    ],
    "AttributeDefinitions": [
        {"AttributeName": "order_id", "AttributeType": "N"}, {"AttributeName": "at", "AttributeType": "S"}
    ]
}"#;

const CARTS: &str = r#"{
    "TableName": "carts", "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "customer_id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "customer_id", "AttributeType": "N"}]
}"#;

/// The index holds only sessions of customers who have signed in: it is sparse.
const SESSIONS: &str = r#"{
    "TableName": "sessions", "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "session_id", "KeyType": "HASH"}],
    "AttributeDefinitions": [
        {"AttributeName": "session_id", "AttributeType": "S"},
        {"AttributeName": "customer_id", "AttributeType": "N"},
        {"AttributeName": "started_at", "AttributeType": "S"}
    ],
    "GlobalSecondaryIndexes": [{
        "IndexName": "by_customer",
        "KeySchema": [
            {"AttributeName": "customer_id", "KeyType": "HASH"}, {"AttributeName": "started_at", "KeyType": "RANGE"}
        ],
        "Projection": {"ProjectionType": "ALL"}
    }]
}"#;

fn create(database: &Database, definition: &str) -> Result<(), DynoxideError> {
    let request = serde_json::from_str(definition).map_err(|error| {
        DynoxideError::InternalServerError(format!("table definition: {error}"))
    })?;
    database.create_table(request).map(drop)
}

fn import(database: &Database, table: &str, items: Vec<Item>) -> Result<(), DynoxideError> {
    database
        .import_items(table, items, ImportOptions::default())
        .map(drop)
}

fn order_event(event: &OrderEvent) -> Item {
    item([
        ("order_id", Some(number(event.order_id))),
        ("at", Some(time(event.at))),
        ("step", Some(text(event.step))),
        ("status", Some(text(event.status))),
        (
            "actor",
            Some(map([
                ("kind", Some(text(event.actor_kind))),
                ("id", Some(text(&event.actor_id))),
            ])),
        ),
        ("carrier", event.carrier.map(text)),
        ("reason", event.reason.map(text)),
        ("received_at", event.received_at.map(time)),
    ])
}

fn cart(cart: &Cart) -> Item {
    let items = cart
        .items
        .iter()
        .map(|line| {
            map([
                ("sku", Some(text(line.sku))),
                ("quantity", Some(number(line.quantity))),
                (
                    "price",
                    Some(AttributeValue::N(data::money(line.price_cents))),
                ),
            ])
        })
        .collect();
    let total: i64 = cart
        .items
        .iter()
        .map(|line| line.quantity * line.price_cents)
        .sum();
    let note = cart.note.as_ref().map(|note| match note {
        Note::Text(words) => text(words),
        Note::Gift { to, wrap } => map([
            ("gift_to", Some(text(to))),
            ("wrap", Some(AttributeValue::BOOL(*wrap))),
        ]),
    });
    item([
        ("customer_id", Some(number(cart.customer_id))),
        ("updated_at", Some(time(cart.updated_at))),
        ("items", Some(AttributeValue::L(items))),
        ("total", Some(AttributeValue::N(data::money(total)))),
        ("coupon", cart.coupon.map(text)),
        ("note", note),
    ])
}

fn session(session: &WebSession) -> Item {
    let device = map([
        ("os", Some(text(session.os))),
        ("browser", Some(text(session.browser))),
        ("app_version", session.app_version.map(text)),
    ]);
    item([
        ("session_id", Some(text(&session.id))),
        ("customer_id", session.customer_id.map(number)),
        ("started_at", Some(time(session.started_at))),
        ("ended_at", session.ended_at.map(time)),
        ("device", Some(device)),
        ("pages", Some(number(session.pages))),
        ("referrer", session.referrer.map(text)),
        ("campaign", session.campaign.map(text)),
    ])
}

fn item<const N: usize>(attributes: [(&str, Option<AttributeValue>); N]) -> Item {
    attributes
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn map<const N: usize>(attributes: [(&str, Option<AttributeValue>); N]) -> AttributeValue {
    AttributeValue::M(item(attributes))
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn time(seconds: i64) -> AttributeValue {
    text(&data::iso_time(seconds))
}
