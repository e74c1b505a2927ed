//! The relational half of the shop in an SQLite file. Must never know DynamoDB.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use super::data::{self, Shop};

const SCHEMA: &str = "
    CREATE TABLE customers (
        id            INTEGER PRIMARY KEY,
        name          TEXT NOT NULL,
        email         TEXT,
        country       TEXT NOT NULL,
        segment       TEXT NOT NULL,
        registered_at TIMESTAMP NOT NULL
    );
    CREATE TABLE orders (
        id          INTEGER PRIMARY KEY,
        customer_id INTEGER NOT NULL REFERENCES customers (id),
        ordered_at  TIMESTAMP NOT NULL,
        status      TEXT NOT NULL,
        channel     TEXT NOT NULL,
        total       DECIMAL(12,2) NOT NULL
    );
    CREATE INDEX orders_by_customer ON orders (customer_id, ordered_at);
    CREATE TABLE order_lines (
        order_id   INTEGER NOT NULL REFERENCES orders (id),
        line       INTEGER NOT NULL,
        sku        TEXT NOT NULL,
        product    TEXT NOT NULL,
        quantity   INTEGER NOT NULL,
        unit_price DECIMAL(10,2) NOT NULL,
        PRIMARY KEY (order_id, line)
    );
    CREATE TABLE shipments (
        id           INTEGER PRIMARY KEY,
        order_id     INTEGER NOT NULL REFERENCES orders (id),
        carrier      TEXT NOT NULL,
        shipped_at   TIMESTAMP NOT NULL,
        delivered_at TIMESTAMP,
        status       TEXT NOT NULL
    );
    CREATE INDEX shipments_by_order ON shipments (order_id);
";

/// Writes a new database file.
pub fn write(path: &Path, shop: &Shop) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    write_customers(&transaction, shop)?;
    write_orders(&transaction, shop)?;
    write_shipments(&transaction, shop)?;
    transaction.commit()?;
    connection.execute_batch("ANALYZE")
}

fn write_customers(transaction: &Transaction<'_>, shop: &Shop) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)")?;
    for customer in &shop.customers {
        insert.execute(params![
            customer.id,
            customer.name,
            customer.email,
            customer.country,
            customer.segment,
            data::sql_time(customer.registered_at)
        ])?;
    }
    Ok(())
}

fn write_orders(transaction: &Transaction<'_>, shop: &Shop) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)")?;
    for order in &shop.orders {
        insert.execute(params![
            order.id,
            order.customer_id,
            data::sql_time(order.ordered_at),
            order.status,
            order.channel,
            data::money(order.total_cents)
        ])?;
    }
    let mut insert = transaction.prepare("INSERT INTO order_lines VALUES (?, ?, ?, ?, ?, ?)")?;
    for line in &shop.order_lines {
        insert.execute(params![
            line.order_id,
            line.line,
            line.sku,
            line.product,
            line.quantity,
            data::money(line.unit_price_cents)
        ])?;
    }
    Ok(())
}

fn write_shipments(transaction: &Transaction<'_>, shop: &Shop) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO shipments VALUES (?, ?, ?, ?, ?, ?)")?;
    for shipment in &shop.shipments {
        insert.execute(params![
            shipment.id,
            shipment.order_id,
            shipment.carrier,
            data::sql_time(shipment.shipped_at),
            shipment.delivered_at.map(data::sql_time),
            shipment.status
        ])?;
    }
    Ok(())
}
