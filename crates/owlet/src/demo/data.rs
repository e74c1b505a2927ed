//! The shop's data, made up from a fixed seed around a fixed date: 26 weeks of customers, orders, workflow events,
//! carts and sessions, with what real data has: gaps, late events, failures, sparse attributes.
//! Must never know where it will be stored.

use chrono::DateTime;

use super::random::Random;

/// The shop's last moment: Sunday 2026-06-28 23:59:59 UTC. Nothing happens after it.
pub const END: i64 = 1_782_691_199;
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;
const WEEKS: i64 = 26;
const CUSTOMERS: i64 = 2_000;
const ORDERS: usize = 4_000;
const CARTS: i64 = 600;
const SESSIONS: i64 = 6_000;
const FIRST_ORDER_ID: i64 = 1_001;
const SEED: u64 = 20_260_628;

/// Everything.
#[derive(Debug)]
pub struct Shop {
    /// Relational.
    pub customers: Vec<Customer>,
    /// Relational.
    pub orders: Vec<Order>,
    /// Relational.
    pub order_lines: Vec<OrderLine>,
    /// Relational.
    pub shipments: Vec<Shipment>,
    /// DynamoDB.
    pub order_events: Vec<OrderEvent>,
    /// DynamoDB.
    pub carts: Vec<Cart>,
    /// DynamoDB.
    pub sessions: Vec<WebSession>,
}

/// Somebody who has registered. Times are seconds since 1970.
#[derive(Debug)]
pub struct Customer {
    pub id: i64,
    pub name: String,
    pub email: Option<String>,
    pub country: &'static str,
    pub segment: &'static str,
    pub registered_at: i64,
}

/// An order; money in cents.
#[derive(Debug)]
pub struct Order {
    pub id: i64,
    pub customer_id: i64,
    pub ordered_at: i64,
    pub status: &'static str,
    pub channel: &'static str,
    pub total_cents: i64,
}

/// One product of an order.
#[derive(Debug)]
pub struct OrderLine {
    pub order_id: i64,
    pub line: i64,
    pub sku: &'static str,
    pub product: &'static str,
    pub quantity: i64,
    pub unit_price_cents: i64,
}

/// One attempt to bring an order to its customer.
#[derive(Debug)]
pub struct Shipment {
    pub id: i64,
    pub order_id: i64,
    pub carrier: &'static str,
    pub shipped_at: i64,
    pub delivered_at: Option<i64>,
    pub status: &'static str,
}

/// One step of an order's workflow.
#[derive(Debug)]
pub struct OrderEvent {
    pub order_id: i64,
    pub at: i64,
    pub step: &'static str,
    pub status: &'static str,
    pub actor_kind: &'static str,
    pub actor_id: String,
    /// Of shipping steps only.
    pub carrier: Option<&'static str>,
    /// Of failures only.
    pub reason: Option<&'static str>,
    /// Of events that arrived late only.
    pub received_at: Option<i64>,
}

/// What a customer has put aside.
#[derive(Debug)]
pub struct Cart {
    pub customer_id: i64,
    pub updated_at: i64,
    pub items: Vec<CartItem>,
    pub coupon: Option<&'static str>,
    pub note: Option<Note>,
}

/// One product of a cart.
#[derive(Debug)]
pub struct CartItem {
    pub sku: &'static str,
    pub quantity: i64,
    pub price_cents: i64,
}

/// Old clients write plain text, new ones a map: the same attribute in two shapes.
#[derive(Debug)]
pub enum Note {
    Text(&'static str),
    Gift { to: &'static str, wrap: bool },
}

/// A visit to the shop.
#[derive(Debug)]
pub struct WebSession {
    pub id: String,
    /// Visitors who have not signed in have none.
    pub customer_id: Option<i64>,
    pub started_at: i64,
    /// Missing where the browser was closed.
    pub ended_at: Option<i64>,
    pub os: &'static str,
    pub browser: &'static str,
    /// Of the shop's own application only.
    pub app_version: Option<&'static str>,
    pub pages: i64,
    pub referrer: Option<&'static str>,
    pub campaign: Option<&'static str>,
}

const FIRST_NAMES: [&str; 24] = [
    "Mia", "Noah", "Emma", "Ben", "Lina", "Paul", "Sofia", "Leon", "Zoë", "Jonas", "Aya", "Hugo",
    "Chloé", "Louis", "Nora", "Elias", "Inès", "Milan", "Sara", "Viktor", "Yuki", "Oskar",
    "Amélie", "Tomás",
];
const LAST_NAMES: [&str; 24] = [
    "Müller",
    "Schmidt",
    "Rossi",
    "Dubois",
    "Jansen",
    "Novák",
    "O'Brien",
    "García",
    "Silva",
    "Kowalski",
    "Berg",
    "Weber",
    "Fischer",
    "Moreau",
    "Costa",
    "Nilsson",
    "Takahashi",
    "Horvat",
    "Keller",
    "Bianchi",
    "Lindqvist",
    "Peeters",
    "Wagner",
    "d'Angelo",
];
const COUNTRIES: [&str; 10] = ["DE", "FR", "NL", "AT", "IT", "ES", "PL", "SE", "IE", "PT"];
const SEGMENTS: [&str; 3] = ["consumer", "business", "school"];
const CHANNELS: [&str; 3] = ["web", "app", "phone"];
const CARRIERS: [&str; 3] = ["Postbird", "Nightline", "Parcelway"];
const FAILURES: [&str; 4] = ["nobody home", "wrong address", "damaged", "refused"];
const REFERRERS: [&str; 4] = ["search", "newsletter", "friend", "price comparison"];
const CAMPAIGNS: [&str; 3] = ["spring", "school-start", "owl-days"];
const COUPONS: [&str; 3] = ["OWL10", "SPRING5", "WELCOME"];
/// Number, name, price in cents.
const PRODUCTS: [(&str, &str, i64); 16] = [
    ("NB-A5", "Notebook A5", 690),
    ("PN-GEL", "Gel pen", 249),
    ("LP-01", "Desk lamp", 3_990),
    ("BP-22", "Backpack 22 l", 7_450),
    ("MG-OWL", "Mug with owl", 1_290),
    ("CH-65", "Charger 65 W", 4_599),
    ("HP-NC", "Headphones", 12_900),
    ("KB-TKL", "Keyboard", 8_990),
    ("MS-ERG", "Mouse", 5_490),
    ("MN-27", "Monitor 27\"", 28_900),
    ("ST-SIT", "Standing desk", 42_900),
    ("CH-ERG", "Office chair", 31_500),
    ("PP-500", "Paper, 500 sheets", 549),
    ("TN-BK", "Toner black", 7_999),
    ("WB-90", "Whiteboard", 6_450),
    ("PL-MON", "Plant, 60 cm", 2_495),
];

/// The whole shop; the same every time.
pub fn shop() -> Shop {
    let mut random = Random::new(SEED);
    let customers = customers(&mut random);
    let mut shop = Shop {
        orders: Vec::new(),
        order_lines: Vec::new(),
        shipments: Vec::new(),
        order_events: Vec::new(),
        carts: carts(&mut random),
        sessions: sessions(&mut random, &customers),
        customers,
    };
    for (index, (customer_id, ordered_at)) in order_times(&mut random, &shop.customers)
        .into_iter()
        .enumerate()
    {
        let id = FIRST_ORDER_ID + index as i64;
        let total_cents = order_lines(&mut random, id, &mut shop.order_lines);
        let status = workflow(&mut random, id, ordered_at, &mut shop);
        let channel = random.pick(&CHANNELS);
        shop.orders.push(Order {
            id,
            customer_id,
            ordered_at,
            status,
            channel,
            total_cents,
        });
    }
    shop
}

/// A third of the customers was there before the 26 weeks; the others come in growing numbers, fewer at Easter.
fn customers(random: &mut Random) -> Vec<Customer> {
    let start = END - WEEKS * 7 * DAY;
    let mut times: Vec<i64> = (0..CUSTOMERS)
        .map(|_| {
            if random.chance(0.33) {
                return start - random.between(0, 500 * DAY);
            }
            loop {
                let at = start + (random.fraction().sqrt() * (WEEKS * 7 * DAY) as f64) as i64;
                let week = (at - start) / (7 * DAY);
                if !(week == 13 && random.chance(0.6)) {
                    return at;
                }
            }
        })
        .collect();
    times.sort_unstable();
    times
        .into_iter()
        .enumerate()
        .map(|(index, registered_at)| {
            let id = index as i64 + 1;
            let name = format!("{} {}", random.any(&FIRST_NAMES), random.any(&LAST_NAMES));
            let email = (!random.chance(0.02)).then(|| format!("customer{id}@example.com"));
            let (country, segment) = (random.pick(&COUNTRIES), random.pick(&SEGMENTS));
            Customer {
                id,
                name,
                email,
                country,
                segment,
                registered_at,
            }
        })
        .collect()
}

/// Customer and time of every order, in the order of time. Some customers order often, many never.
fn order_times(random: &mut Random, customers: &[Customer]) -> Vec<(i64, i64)> {
    let start = END - WEEKS * 7 * DAY;
    let mut orders: Vec<(i64, i64)> = (0..ORDERS)
        .map(|_| {
            let customer = random.pick(customers);
            let from = customer.registered_at.max(start);
            (customer.id, random.between(from, END))
        })
        .collect();
    orders.sort_by_key(|(customer, at)| (*at, *customer));
    orders
}

/// Writes the lines of an order; returns their sum.
fn order_lines(random: &mut Random, order_id: i64, lines: &mut Vec<OrderLine>) -> i64 {
    let mut total = 0;
    for line in 1..=random.between(1, 5) {
        let (sku, product, price) = *random.pick(&PRODUCTS);
        let quantity = 1 + random.waiting(0.8);
        // Prices were a little lower earlier; lines keep the price of their day.
        let unit_price_cents = price - price * random.between(0, 8) / 100;
        total += quantity * unit_price_cents;
        lines.push(OrderLine {
            order_id,
            line,
            sku,
            product,
            quantity,
            unit_price_cents,
        });
    }
    total
}

/// Lets an order go through its steps as far as it comes before the shop's last moment; returns its status.
fn workflow(random: &mut Random, order_id: i64, ordered_at: i64, shop: &mut Shop) -> &'static str {
    let mut log = Log {
        order_id,
        events: &mut shop.order_events,
    };
    log.done(random, ordered_at, "place", None);
    if random.chance(0.04) {
        let at = ordered_at + DAY + random.waiting(6.0 * HOUR as f64);
        return if log.failed(random, at, "pay", "no payment", None) {
            "cancelled"
        } else {
            "placed"
        };
    }
    // Most pay at once, some by bank transfer a day later.
    let mean = if random.chance(0.15) {
        30.0 * HOUR as f64
    } else {
        240.0
    };
    let paid = ordered_at + 20 + random.waiting(mean);
    if !log.done(random, paid, "pay", None) {
        return "placed";
    }
    let picked = paid + 2 * HOUR + random.waiting(9.0 * HOUR as f64);
    if !log.done(random, picked, "pick", None) {
        return "paid";
    }
    let packed = picked + 600 + random.waiting(1.2 * HOUR as f64);
    // The packing station's scanner misses one parcel in fifty: a gap in the events.
    if !random.chance(0.02) && !log.done(random, packed, "pack", None) {
        return "picked";
    }
    let carrier = *random.pick(&CARRIERS);
    let mut shipped = packed + 2 * HOUR + random.waiting(7.0 * HOUR as f64);
    if !log.done(random, shipped, "ship", Some(carrier)) {
        return "packed";
    }
    for attempt in 1..=3 {
        let arrives = shipped + 14 * HOUR + random.waiting(26.0 * HOUR as f64);
        let fails = random.chance(if carrier == "Parcelway" { 0.16 } else { 0.06 });
        let id = shop.shipments.len() as i64 + 1;
        let mut shipment = Shipment {
            id,
            order_id,
            carrier,
            shipped_at: shipped,
            delivered_at: None,
            status: "in transit",
        };
        if arrives > END {
            shop.shipments.push(shipment);
            return "shipped";
        }
        if !fails {
            log.done(random, arrives, "deliver", Some(carrier));
            shipment.delivered_at = Some(arrives);
            shipment.status = "delivered";
            shop.shipments.push(shipment);
            return "delivered";
        }
        let reason = random.any(&FAILURES);
        log.failed(random, arrives, "deliver", reason, Some(carrier));
        shipment.status = "failed";
        shop.shipments.push(shipment);
        if attempt == 3 || random.chance(0.45) {
            let back = arrives + 2 * DAY + random.waiting(DAY as f64);
            return if log.done(random, back, "return", Some(carrier)) {
                "returned"
            } else {
                "shipped"
            };
        }
        shipped = arrives + 10 * HOUR;
    }
    "shipped"
}

/// Appends the events of one order.
struct Log<'a> {
    order_id: i64,
    events: &'a mut Vec<OrderEvent>,
}

impl Log<'_> {
    /// A step that succeeded; false when it lies after the shop's last moment.
    fn done(
        &mut self,
        random: &mut Random,
        at: i64,
        step: &'static str,
        carrier: Option<&'static str>,
    ) -> bool {
        self.add(random, at, step, "done", None, carrier)
    }

    /// A step that failed; false when it lies after the shop's last moment.
    fn failed(
        &mut self,
        random: &mut Random,
        at: i64,
        step: &'static str,
        reason: &'static str,
        carrier: Option<&'static str>,
    ) -> bool {
        self.add(random, at, step, "failed", Some(reason), carrier)
    }

    fn add(
        &mut self,
        random: &mut Random,
        at: i64,
        step: &'static str,
        status: &'static str,
        reason: Option<&'static str>,
        carrier: Option<&'static str>,
    ) -> bool {
        if at > END {
            return false;
        }
        let (actor_kind, actor_id) = match step {
            "place" | "pay" => ("system", "checkout".to_owned()),
            "pick" | "pack" => ("worker", format!("w{:02}", random.between(1, 18))),
            _ => ("carrier", format!("van-{}", random.between(100, 140))),
        };
        // Scanners without a network send their events hours later.
        let received_at = random
            .chance(0.03)
            .then(|| at + HOUR + random.waiting(5.0 * HOUR as f64));
        self.events.push(OrderEvent {
            order_id: self.order_id,
            at,
            step,
            status,
            actor_kind,
            actor_id,
            carrier,
            reason,
            received_at,
        });
        true
    }
}

fn carts(random: &mut Random) -> Vec<Cart> {
    (0..CARTS)
        .map(|index| {
            // Every third customer from the newest backwards.
            let customer_id = CUSTOMERS - index * 3;
            let items = (0..random.between(1, 6))
                .map(|_| {
                    let (sku, _, price_cents) = *random.pick(&PRODUCTS);
                    CartItem {
                        sku,
                        quantity: 1 + random.waiting(0.5),
                        price_cents,
                    }
                })
                .collect();
            let note = if random.chance(0.06) {
                Some(Note::Text("please ring twice"))
            } else if random.chance(0.06) {
                Some(Note::Gift {
                    to: FIRST_NAMES[index as usize % FIRST_NAMES.len()],
                    wrap: random.chance(0.5),
                })
            } else {
                None
            };
            Cart {
                customer_id,
                updated_at: END - random.waiting(9.0 * DAY as f64),
                items,
                coupon: random.chance(0.2).then(|| *random.any(&COUPONS)),
                note,
            }
        })
        .collect()
}

fn sessions(random: &mut Random, customers: &[Customer]) -> Vec<WebSession> {
    (0..SESSIONS)
        .map(|number| {
            let started_at = END - random.between(0, 60 * DAY);
            let customer = random.any(customers);
            let signed_in = customer.registered_at <= started_at && random.chance(0.55);
            let in_app = random.chance(0.3);
            let pages = 1 + random.waiting(5.0);
            WebSession {
                id: format!("s-{:08x}", (number * 2_654_435_761) % 4_294_967_296),
                customer_id: signed_in.then_some(customer.id),
                started_at,
                ended_at: (!random.chance(0.12))
                    .then(|| started_at + pages * random.between(5, 90)),
                os: random.pick::<&str>(&["Android", "iOS", "Windows", "macOS", "Linux"]),
                browser: if in_app {
                    "app"
                } else {
                    random.pick::<&str>(&["Chrome", "Safari", "Firefox", "Edge"])
                },
                app_version: in_app.then(|| *random.pick(&["4.2.0", "4.1.3", "4.0.9", "3.9.1"])),
                pages,
                referrer: random.chance(0.4).then(|| *random.pick(&REFERRERS)),
                campaign: random.chance(0.15).then(|| *random.any(&CAMPAIGNS)),
            }
        })
        .collect()
}

/// `2026-06-28 23:59:59`, as SQLite keeps it.
pub fn sql_time(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0)
        .map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// `2026-06-28T23:59:59Z`, as services write it into DynamoDB.
pub fn iso_time(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0)
        .map(|time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

/// `12.50` for cents.
pub fn money(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn the_shop_is_the_same_every_time() {
        let shop = shop();
        assert_eq!(iso_time(END), "2026-06-28T23:59:59Z");
        let sum: i64 = shop.orders.iter().map(|order| order.total_cents).sum();
        insta::assert_snapshot!(
            format!(
                "{} customers, {} orders of {}, {} lines, {} shipments, {} events, {} carts, {} sessions",
                shop.customers.len(), shop.orders.len(), money(sum), shop.order_lines.len(), shop.shipments.len(),
                shop.order_events.len(), shop.carts.len(), shop.sessions.len()
            ),
            @"2000 customers, 4000 orders of 816626.87, 9995 lines, 3922 shipments, 23309 events, 600 carts, 6000 sessions"
        );
    }

    #[test]
    fn keys_are_unique_and_times_are_past() {
        let shop = shop();
        let events: HashSet<(i64, i64)> = shop
            .order_events
            .iter()
            .map(|event| (event.order_id, event.at))
            .collect();
        assert_eq!(events.len(), shop.order_events.len());
        let sessions: HashSet<&str> = shop
            .sessions
            .iter()
            .map(|session| session.id.as_str())
            .collect();
        assert_eq!(sessions.len(), shop.sessions.len());
        let carts: HashSet<i64> = shop.carts.iter().map(|cart| cart.customer_id).collect();
        assert_eq!(carts.len(), shop.carts.len());
        assert!(shop.order_events.iter().all(|event| event.at <= END));
    }

    #[test]
    fn the_awkward_shapes_are_there() {
        let shop = shop();
        let statuses: HashMap<&str, usize> =
            shop.orders
                .iter()
                .fold(HashMap::new(), |mut counts, order| {
                    *counts.entry(order.status).or_default() += 1;
                    counts
                });
        for status in [
            "placed",
            "paid",
            "shipped",
            "delivered",
            "returned",
            "cancelled",
        ] {
            assert!(statuses.contains_key(status), "{status}: {statuses:?}");
        }
        assert!(
            shop.order_events
                .iter()
                .any(|event| event.received_at.is_some())
        );
        assert!(
            shop.carts
                .iter()
                .any(|cart| matches!(cart.note, Some(Note::Text(_))))
        );
        assert!(
            shop.carts
                .iter()
                .any(|cart| matches!(cart.note, Some(Note::Gift { .. })))
        );
        assert!(
            shop.customers
                .iter()
                .any(|customer| customer.email.is_none())
        );
    }
}
