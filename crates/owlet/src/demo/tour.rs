//! Five questions that four people ask the shop. Data only.

/// One question with its SQL.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Who asks.
    pub who: &'static str,
    /// What they want to know.
    pub text: &'static str,
    /// The statement.
    pub sql: &'static str,
}

/// The tour, in order.
pub const QUESTIONS: [Question; 5] = [
    Question {
        who: "the manager",
        text: "How many customers registered per week?",
        sql: "\
SELECT CAST(date_trunc('week', registered_at) AS DATE) AS week, count(*) AS registrations
FROM shop.customers
WHERE registered_at >= TIMESTAMP '2026-05-04 00:00:00'
GROUP BY 1
ORDER BY 1",
    },
    Question {
        who: "the engineer",
        text: "How long does each workflow step take, in hours, typically (p50) and in bad cases (p95)?",
        sql: "\
WITH steps AS (
  SELECT step, date_diff('second', lag(moment) OVER (PARTITION BY order_id ORDER BY moment), moment) AS seconds
  FROM (SELECT order_id, step, from_iso8601_timestamp(at) AS moment FROM events.order_events)
)
SELECT step, count(*) AS events,
       round(approx_percentile(seconds, 0.5) / 3600.0, 1) AS p50,
       round(approx_percentile(seconds, 0.95) / 3600.0, 1) AS p95
FROM steps
WHERE seconds IS NOT NULL
GROUP BY step
ORDER BY p50",
    },
    Question {
        who: "the analyst",
        text: "Which customers whose last delivery failed brought the most revenue?",
        sql: "\
WITH deliveries AS (
  SELECT o.customer_id, e.status, row_number() OVER (PARTITION BY o.customer_id ORDER BY e.at DESC) AS recency
  FROM events.order_events e
  JOIN shop.orders o ON o.id = e.order_id
  WHERE e.step = 'deliver'
)
SELECT c.name, c.country, count(*) AS orders, sum(o.total) AS revenue
FROM deliveries d
JOIN shop.customers c ON c.id = d.customer_id
JOIN shop.orders o ON o.customer_id = c.id
WHERE d.recency = 1 AND d.status = 'failed'
GROUP BY c.id, c.name, c.country
ORDER BY revenue DESC, c.name
LIMIT 5",
    },
    Question {
        who: "the support person",
        text: "Order 4711, now: whose is it, and what has happened to it?",
        sql: "\
SELECT c.name, o.status AS order_status, o.total, e.at, e.step, e.status, e.reason
FROM shop.orders o
JOIN shop.customers c ON c.id = o.customer_id
JOIN events.order_events e ON e.order_id = o.id
WHERE o.id = 4711
ORDER BY e.at",
    },
    Question {
        who: "the analyst",
        text: "Which carts with a coupon are worth most, and when did their customers last order?",
        sql: "\
SELECT c.name, k.coupon, cardinality(k.items) AS products, k.total, k.updated_at, max(o.ordered_at) AS last_order
FROM events.carts k
JOIN shop.customers c ON c.id = k.customer_id
LEFT JOIN shop.orders o ON o.customer_id = c.id
WHERE k.coupon IS NOT NULL
GROUP BY c.name, k.customer_id, k.coupon, k.items, k.total, k.updated_at
ORDER BY k.total DESC, c.name
LIMIT 5",
    },
];
