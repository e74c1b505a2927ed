//! Items of the benchmarks: the same in every run. Must never know how they are stored or read.

use serde_json::{Map, Value, json};

const STATUSES: [&str; 6] = ["new", "paid", "packed", "shipped", "returned", "closed"];
const WORDS: [&str; 12] = [
    "amber", "basalt", "cedar", "dune", "ember", "fjord", "grove", "harbor", "isle", "juniper",
    "kelp", "lagoon",
];
/// Every so many narrow items one is bigger than one read capacity unit covers.
const BIG_ITEM_EVERY: usize = 50;
const BIG_NOTE_BYTES: usize = 6_000;

/// Pseudo-random numbers that follow from a seed (SplitMix64).
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: usize) -> Self {
        Self(seed as u64)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn pick<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len() as u64) as usize]
    }

    fn words(&mut self, count: usize) -> String {
        let words: Vec<&str> = (0..count).map(|_| self.pick(&WORDS)).collect();
        words.join(" ")
    }

    fn cents(&mut self) -> String {
        format!("{}.{:02}", self.below(9_000), 1 + self.below(99))
    }
}

/// Key of the item of a number.
pub fn key(number: usize) -> String {
    format!("item-{number:08}")
}

/// Five attributes, about 70 bytes.
pub fn narrow(number: usize) -> Value {
    let mut numbers = Numbers::new(number);
    json!({
        "id": { "S": key(number) },
        "quantity": { "N": numbers.below(1_000).to_string() },
        "price": { "N": numbers.cents() },
        "status": { "S": numbers.pick(&STATUSES) },
        "active": { "BOOL": numbers.below(2) == 0 },
    })
}

/// A narrow item with a text that makes every fiftieth bigger than 4 KB.
pub fn with_note(number: usize) -> Value {
    let mut item = narrow(number);
    let note = if number.is_multiple_of(BIG_ITEM_EVERY) {
        "n".repeat(BIG_NOTE_BYTES)
    } else {
        Numbers::new(number + 1).words(6)
    };
    item["note"] = json!({ "S": note });
    item
}

/// 41 attributes of all kinds, about 1.2 KB; some are missing or NULL.
pub fn wide(number: usize) -> Value {
    let mut numbers = Numbers::new(number);
    let mut item = Map::new();
    item.insert("id".to_owned(), json!({ "S": key(number) }));
    for column in 0..12 {
        let words = 1 + numbers.below(5) as usize;
        item.insert(
            format!("text_{column:02}"),
            json!({ "S": numbers.words(words) }),
        );
    }
    for column in 0..12 {
        // 64-bit integers of all lengths.
        let value = numbers.next() as i64 >> numbers.below(60);
        item.insert(
            format!("integer_{column:02}"),
            json!({ "N": value.to_string() }),
        );
    }
    for column in 0..6 {
        item.insert(
            format!("amount_{column:02}"),
            json!({ "N": numbers.cents() }),
        );
    }
    for column in 0..4 {
        item.insert(
            format!("flag_{column:02}"),
            json!({ "BOOL": numbers.below(2) == 0 }),
        );
    }
    let tags: Vec<Value> = (0..1 + numbers.below(4))
        .map(|_| json!({ "S": numbers.pick(&WORDS) }))
        .collect();
    item.insert("tags".to_owned(), json!({ "L": tags }));
    let scores: Vec<Value> = (0..3)
        .map(|_| json!({ "N": numbers.below(100).to_string() }))
        .collect();
    item.insert("scores".to_owned(), json!({ "L": scores }));
    item.insert(
        "address".to_owned(),
        json!({ "M": {
            "street": { "S": numbers.words(2) },
            "number": { "N": numbers.below(400).to_string() },
            "city": { "S": numbers.pick(&WORDS) },
            "verified": { "BOOL": numbers.below(3) == 0 },
        } }),
    );
    // Bytes in base64: 24 letters are 18 bytes.
    let digest = format!("{:016x}{:08x}", numbers.next(), numbers.below(1 << 32));
    item.insert("digest".to_owned(), json!({ "B": digest }));
    if numbers.below(10) > 0 {
        item.insert("remark".to_owned(), json!({ "S": numbers.words(8) }));
    }
    let discount = if numbers.below(4) == 0 {
        json!({ "NULL": true })
    } else {
        json!({ "N": numbers.below(50).to_string() })
    };
    item.insert("discount".to_owned(), discount);
    Value::Object(item)
}
