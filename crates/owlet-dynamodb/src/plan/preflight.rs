//! What a scan means before it runs, beyond its units: money, share of provisioned capacity, duration.
//! Must never choose an access path.

use owlet_connector::{CostEstimate, Money};

use super::cost::PAGE_BYTES;
use super::price::list_price;
use super::readable_units;
use crate::catalog::access_kind::AccessKind;
use crate::catalog::learned::TableExperience;
use crate::description::{TableClass, TableDescription};

/// Requests of one split under way at once, on average over the kinds of access.
const CONCURRENT_REQUESTS: f64 = 4.0;
/// Time of a small request, in seconds, as long as nothing was measured.
const REQUEST_SECONDS: f64 = 0.008;
/// Further time of a request that reads a whole page.
const PAGE_SECONDS: f64 = 0.06;

/// What planning knows beside table and request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Circumstances {
    /// Region, when requests go to AWS itself.
    pub(crate) region: Option<String>,
    /// Configured US dollars for a million read capacity units.
    pub(crate) price_per_million: Option<f64>,
    /// Configured limit of read capacity units a second for the table, and for each index that has its own.
    pub(crate) rates: Vec<(Option<String>, f64)>,
    /// What earlier scans of the table taught.
    pub(crate) learned: TableExperience,
}

impl Circumstances {
    /// Measured seconds of a request of one kind of access.
    pub(crate) fn latency(&self, access: &AccessKind) -> Option<f64> {
        self.learned.seconds_of_request(access)
    }

    fn rate(&self, index: Option<&str>) -> Option<f64> {
        let of = |name: Option<&str>| {
            self.rates
                .iter()
                .find(|(known, _)| known.as_deref() == name)
                .map(|(_, rate)| *rate)
        };
        of(index).or_else(|| of(None))
    }
}

/// Completes an estimate and says it in words.
pub(crate) fn preflight(
    estimate: &mut CostEstimate,
    notes: &mut Vec<String>,
    table: &TableDescription,
    index: Option<&str>,
    workers: usize,
    latency: Option<f64>,
    circumstances: &Circumstances,
) {
    let (Some(units), Some(requests)) = (estimate.rcu, estimate.requests) else {
        return;
    };
    let provisioned = table.provisioned(index);
    let seconds = seconds(
        units,
        requests,
        estimate.rows_read.unwrap_or(0.0) * table.item_bytes(),
        workers,
        latency,
        [circumstances.rate(index), provisioned],
    );
    estimate.seconds = Some(seconds);
    let mut words = vec![format!("{} RCU", readable_units(units))];
    match provisioned {
        Some(provisioned) => {
            // Less than a second still takes from the second it runs in.
            let share = units / seconds.max(1.0) / provisioned;
            estimate.capacity_share = Some(share);
            words.push(format!(
                "{} % of the {provisioned} RCU a second provisioned, which are paid by the hour",
                readable_units(share * 100.0)
            ));
        }
        None => match price(table, circumstances) {
            Ok(price) => {
                let amount = units * price / 1_000_000.0;
                words.push(format!(
                    "{amount:.3e} USD on demand ({price} USD for a million RCU)"
                ));
                estimate.money = Some(Money {
                    amount,
                    currency: "USD".to_owned(),
                });
            }
            Err(reason) => words.push(reason),
        },
    }
    words.push(format!("about {} s", readable_seconds(seconds)));
    notes.push(format!("expected: {}", words.join(", ")));
    keep_twelve_digits(estimate);
}

/// An estimate is not known to more digits, and with these a plan read back from JSON is the same plan: JSON readers
/// may be one unit off in the last of seventeen.
fn keep_twelve_digits(estimate: &mut CostEstimate) {
    let numbers = [
        &mut estimate.rows_read,
        &mut estimate.rows_returned,
        &mut estimate.bytes,
        &mut estimate.rcu,
        &mut estimate.requests,
        &mut estimate.capacity_share,
        &mut estimate.seconds,
    ];
    let amount = estimate.money.as_mut().map(|money| &mut money.amount);
    let alternatives = estimate
        .alternatives
        .iter_mut()
        .filter_map(|alternative| alternative.rcu.as_mut());
    for number in numbers
        .into_iter()
        .flatten()
        .chain(amount)
        .chain(alternatives)
    {
        *number = format!("{number:.11e}").parse().unwrap_or(*number);
    }
}

fn price(table: &TableDescription, circumstances: &Circumstances) -> Result<f64, String> {
    if let Some(configured) = circumstances.price_per_million {
        return Ok(configured);
    }
    let unknown = |what: &str| format!("no price is known for {what}: set price_per_million_rcu");
    let Some(region) = &circumstances.region else {
        return Err("no price at an endpoint that is not AWS".to_owned());
    };
    if table.class != TableClass::Standard {
        return Err(unknown("its table class"));
    }
    list_price(region).ok_or_else(|| unknown(region))
}

/// The longer of what the requests take and what the rates allow.
fn seconds(
    units: f64,
    requests: f64,
    bytes: f64,
    workers: usize,
    latency: Option<f64>,
    rates: [Option<f64>; 2],
) -> f64 {
    let bytes_of_one = if requests > 0.0 {
        (bytes / requests).min(PAGE_BYTES)
    } else {
        0.0
    };
    let of_one =
        latency.unwrap_or_else(|| REQUEST_SECONDS + PAGE_SECONDS * bytes_of_one / PAGE_BYTES);
    let at_once = (workers as f64 * CONCURRENT_REQUESTS)
        .min(requests)
        .max(1.0);
    let by_requests = (requests / at_once).ceil() * of_one;
    rates
        .into_iter()
        .flatten()
        .map(|rate| units / rate)
        .fold(by_requests, f64::max)
}

fn readable_seconds(seconds: f64) -> String {
    if seconds >= 10.0 {
        format!("{seconds:.0}")
    } else {
        format!("{seconds:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{KeyAttribute, KeyKind, KeySchema};

    fn table(provisioned_units: u64) -> TableDescription {
        TableDescription {
            name: "t".to_owned(),
            arn: String::new(),
            created: String::new(),
            keys: KeySchema {
                hash: KeyAttribute {
                    name: "pk".to_owned(),
                    kind: KeyKind::S,
                },
                sort: None,
            },
            indexes: Vec::new(),
            items: 1000,
            bytes: 1_000_000,
            provisioned_units,
            class: TableClass::Standard,
        }
    }

    fn estimated(
        table: &TableDescription,
        circumstances: &Circumstances,
    ) -> (CostEstimate, String) {
        let mut estimate = CostEstimate {
            rcu: Some(8000.0),
            requests: Some(63.0),
            rows_read: Some(60_000.0),
            ..CostEstimate::default()
        };
        let mut notes = Vec::new();
        preflight(
            &mut estimate,
            &mut notes,
            table,
            None,
            4,
            None,
            circumstances,
        );
        (estimate, notes.join("\n"))
    }

    #[test]
    fn on_demand_reads_cost_money() {
        let frankfurt = Circumstances {
            region: Some("eu-central-1".to_owned()),
            ..Circumstances::default()
        };
        let (estimate, notes) = estimated(&table(0), &frankfurt);
        let money = estimate.money.expect("the price is known");
        assert!((money.amount - 0.00122).abs() < 1e-9, "{money:?}");
        assert!(notes.contains("1.220e-3 USD"), "{notes}");
        assert_eq!(estimate.capacity_share, None);
        let elsewhere = Circumstances {
            region: Some("mars-north-1".to_owned()),
            ..Circumstances::default()
        };
        let (estimate, notes) = estimated(&table(0), &elsewhere);
        assert_eq!(estimate.money, None);
        assert!(notes.contains("price_per_million_rcu"), "{notes}");
        let agreed = Circumstances {
            price_per_million: Some(1.0),
            ..elsewhere
        };
        let (estimate, _) = estimated(&table(0), &agreed);
        assert_eq!(estimate.money.map(|money| money.amount), Some(0.008));
    }

    #[test]
    fn provisioned_reads_take_a_share_and_wait_for_it() {
        let (estimate, notes) = estimated(&table(100), &Circumstances::default());
        assert_eq!(estimate.money, None);
        assert_eq!(estimate.seconds, Some(80.0));
        assert_eq!(estimate.capacity_share, Some(1.0));
        assert!(notes.contains("100 RCU a second provisioned"), "{notes}");
        let limited = Circumstances {
            rates: vec![(None, 20.0)],
            ..Circumstances::default()
        };
        let (estimate, _) = estimated(&table(100), &limited);
        assert_eq!(
            (estimate.seconds, estimate.capacity_share),
            (Some(400.0), Some(0.2))
        );
    }

    #[test]
    fn estimates_survive_json() {
        let mut estimate = CostEstimate {
            rcu: Some(2.0 / 3.0),
            seconds: Some(0.003_828_635_736_967_012_5),
            money: Some(Money {
                amount: 1.0 / 3.0e7,
                currency: "USD".to_owned(),
            }),
            ..CostEstimate::default()
        };
        keep_twelve_digits(&mut estimate);
        assert_eq!(estimate.seconds, Some(0.003_828_635_736_97));
        let text = serde_json::to_string(&estimate).expect("JSON");
        let read: CostEstimate = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, estimate);
    }
}
