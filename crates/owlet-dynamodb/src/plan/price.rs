//! What a read request unit costs in a region. Must never know tables.
//!
//! List prices of on-demand reads, DynamoDB Standard table class, in US dollars for a million read request units, since
//! 1 November 2024: <https://aws.amazon.com/dynamodb/pricing/on-demand/>. One read request unit is one read capacity
//! unit as it is counted here. Prices change and contracts differ: `price_per_million_rcu` replaces them.

/// Regions whose price is known.
const PRICES: [(&str, f64); 5] = [
    ("us-east-1", 0.125),
    ("us-east-2", 0.125),
    ("us-west-2", 0.125),
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
