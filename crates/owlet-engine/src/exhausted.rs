//! DataFusion's words for memory and disk that are used up, in words for people. Must never know plans.

use crate::error::EngineError;

/// Begin the names of DataFusion's operators that keep rows, with what they are in SQL.
const OPERATORS: [(&str, &str); 12] = [
    ("ExternalSorter", "sorting"),
    ("SortPreservingMerge", "sorting"),
    ("TopK", "sorting"),
    ("PartitionedTopK", "sorting"),
    ("HashJoin", "a join"),
    ("NestedLoopJoin", "a join"),
    ("CrossJoin", "a join"),
    ("SMJStream", "a join"),
    ("SymmetricHashJoin", "a join"),
    ("PiecewiseMergeJoin", "a join"),
    ("RecursiveQuery", "WITH RECURSIVE"),
    ("ParquetSink", "writing Parquet"),
];

/// The error, from DataFusion's message.
pub fn error(message: &str) -> EngineError {
    tracing::debug!(message, "memory or disk is used up");
    if message.contains("disk space") {
        return EngineError::ResourcesExhausted {
            message: "the query's spill files have reached their limit of 100 GB".to_owned(),
            hint: "sort, join or group fewer rows or columns".to_owned(),
        };
    }
    let what = match between(message, " for ", "[").or(between(message, " for ", " with")) {
        Some(consumer) => operator(consumer),
        None => "the query",
    };
    let limit = match between(message, "pool_size: ", ")") {
        Some(limit) => format!(" ({limit})"),
        None => String::new(),
    };
    EngineError::ResourcesExhausted {
        message: format!("{what} needs more memory than queries may use{limit}"),
        hint: "raise [engine] memory_limit, or sort, join and group fewer rows or columns"
            .to_owned(),
    }
}

fn operator(consumer: &str) -> &'static str {
    let known = OPERATORS
        .iter()
        .find(|(beginning, _)| consumer.starts_with(beginning));
    match known {
        Some((_, words)) => words,
        None if consumer.contains("Aggregate") || consumer.contains("GroupedHash") => {
            "GROUP BY or DISTINCT"
        }
        None => "the query",
    }
}

fn between<'text>(text: &'text str, before: &str, after: &str) -> Option<&'text str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_told_in_words_of_sql() {
        let told = |message: &str| error(message).to_string();
        assert_eq!(
            told(
                "Additional allocation failed for ExternalSorterMerge[1] with top memory consumers (across \
                 reservations) as:\n  RepartitionExec[0]#4(can spill: true) consumed 9.3 MB\nError: Failed to \
                 allocate additional 2.5 MB for ExternalSorterMerge[1] with 0.0 B already allocated for this \
                 reservation - 1.2 MB remain available for the total memory pool: fair(pool_size: 64.0 MB)"
            ),
            "sorting needs more memory than queries may use (64.0 MB) (hint: raise [engine] memory_limit, or sort, \
             join and group fewer rows or columns)"
        );
        assert!(
            told("Failed to allocate additional 1.0 MB for HashJoinInput with 0.0 B already allocated")
                .starts_with("a join needs more memory than queries may use (hint:")
        );
        assert!(
            told("Failed to allocate additional 1.0 MB for FinalHashAggregateStream[0] (count(1)) with")
                .starts_with("GROUP BY or DISTINCT needs")
        );
        assert!(
            told("The used disk space during the spilling process has exceeded the allowable limit of 100.0 GB.")
                .starts_with("the query's spill files")
        );
    }
}
