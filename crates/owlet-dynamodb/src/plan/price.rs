//! What a read request unit costs in a region. Must never know tables.
//!
//! List prices of on-demand reads, DynamoDB Standard table class, in US dollars for a million read request units, from
//! AWS's price list, offer AmazonDynamoDB, publication date 15 August 2026, as published transcriptions of it give them
//! (<https://aws.amazon.com/dynamodb/pricing/on-demand/> shows the same list, but only to browsers). One read request
//! unit is one read capacity unit as it is counted here. A region is here only if its price has such a source;
//! `price_per_million_rcu` serves the others, later prices, other table classes and contracts.

/// Regions whose price is known.
const PRICES: [(&str, f64); 3] = [
    ("us-east-1", 0.125),
    ("eu-west-1", 0.1415),
    ("eu-central-1", 0.1525),
];

/// The list price in a region; `None` when it is not known.
pub(crate) fn list_price(region: &str) -> Option<f64> {
    PRICES
        .iter()
        .find(|(known, _)| *known == region)
        .map(|(_, price)| *price)
}
