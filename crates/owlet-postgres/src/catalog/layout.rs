//! How a table lies on the server's disk: whether and where `ctid` ranges may cut it. Must never know plans.

use tokio_postgres::types::Type;

use crate::session::Session;

/// Server version from which a `ctid` range reads only its pages ("TID range scan").
const TID_RANGE_SCANS_SINCE: u32 = 140_000;

/// Physical facts of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Pages of each heap: one, or one a partition or inheriting table.
    pub(crate) heaps: Vec<u64>,
    /// The rows lie in partitions.
    pub(crate) is_partitioned: bool,
    /// Why `ctid` ranges cannot cut it.
    pub(crate) obstacle: Option<String>,
}

impl Layout {
    /// Pages of all heaps.
    pub(crate) fn pages(&self) -> u64 {
        self.heaps.iter().sum()
    }

    /// First pages of ranges, the first of them 0, such that so many pages lie before each. A range covers the same
    /// page numbers of every heap, so boundaries are placed where the pages up to there, over all heaps, are reached.
    pub(crate) fn boundaries(&self, pages_before: &[u64]) -> Vec<u64> {
        let mut boundaries = vec![0];
        for pages in pages_before {
            let boundary = self.page_reaching(*pages);
            if boundaries.last().is_some_and(|last| boundary > *last) {
                boundaries.push(boundary);
            }
        }
        boundaries
    }

    /// Smallest page number below which all heaps together have at least this many pages.
    fn page_reaching(&self, share: u64) -> u64 {
        let below = |page: u64| self.heaps.iter().map(|heap| page.min(*heap)).sum::<u64>();
        let (mut low, mut high) = (0, self.heaps.iter().copied().max().unwrap_or(0));
        while low < high {
            let middle = low + (high - low) / 2;
            if below(middle) >= share {
                high = middle
            } else {
                low = middle + 1
            }
        }
        low
    }
}

/// Reads the layout; `None` when the table is gone.
pub(crate) async fn layout(
    session: &Session,
    schema: &str,
    table: &str,
) -> Result<Option<Layout>, tokio_postgres::Error> {
    let rows = session
        .query(LAYOUT, &[(&schema, Type::TEXT), (&table, Type::TEXT)])
        .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut layout = Layout {
        heaps: Vec::new(),
        is_partitioned: false,
        obstacle: None,
    };
    if session.server_version < TID_RANGE_SCANS_SINCE {
        layout.obstacle = Some("the server is older than version 14".to_owned());
    }
    let is_root_partitioned = rows
        .first()
        .map(|row| row.try_get::<_, &str>(0))
        .transpose()?
        == Some("p");
    if rows.len() > 1 && !is_root_partitioned {
        // Which tables inherit cannot be watched while the parts are read, as it can for partitions.
        layout.obstacle = Some("other tables inherit from it".to_owned());
    }
    for row in &rows {
        let kind: &str = row.try_get(0)?;
        let access_method: &str = row.try_get(1)?;
        let pages: Option<i64> = row.try_get(2)?;
        let has_row_security: bool = row.try_get(3)?;
        let name: &str = row.try_get(4)?;
        match kind {
            "p" => layout.is_partitioned = true,
            "r" | "m" if access_method == "heap" => {
                layout
                    .heaps
                    .push(pages.and_then(|pages| pages.try_into().ok()).unwrap_or(0));
            }
            "r" | "m" => {
                layout.obstacle = Some(format!(
                    "{name} is stored by {access_method}, not as a heap"
                ))
            }
            "v" => layout.obstacle = Some(format!("{name} is a view")),
            "f" => layout.obstacle = Some(format!("{name} is a foreign table")),
            _ => layout.obstacle = Some(format!("{name} is not a table")),
        }
        if has_row_security {
            layout.obstacle = Some(format!("{name} has row security"));
        }
    }
    Ok(Some(layout))
}

const LAYOUT: &str = "
WITH RECURSIVE tree AS (
    SELECT c.oid, 0 AS depth FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2
    UNION
    SELECT i.inhrelid, tree.depth + 1 FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.oid
)
SELECT c.relkind::text, coalesce(am.amname, '')::text,
    CASE WHEN c.relkind IN ('r', 'm') THEN
        pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8 END,
    pg_catalog.row_security_active(c.oid), c.relname::text
FROM tree JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid
LEFT JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
ORDER BY tree.depth";

#[cfg(test)]
mod tests {
    use super::*;

    fn boundaries(heaps: &[u64], pages_before: &[u64]) -> Vec<u64> {
        Layout {
            heaps: heaps.to_vec(),
            is_partitioned: false,
            obstacle: None,
        }
        .boundaries(pages_before)
    }

    #[test]
    fn one_heap_is_cut_where_asked() {
        assert_eq!(boundaries(&[1000], &[0, 500]), [0, 500]);
        assert_eq!(boundaries(&[1000], &[0]), [0]);
    }

    #[test]
    fn many_heaps_are_cut_by_their_common_pages() {
        assert_eq!(boundaries(&[100, 100], &[100]), [0, 50]);
        // 100 + 100 pages below page 100, and 200 more of the larger one above.
        assert_eq!(boundaries(&[100, 300], &[200]), [0, 100]);
        assert_eq!(boundaries(&[10, 1000], &[505]), [0, 495]);
    }

    #[test]
    fn few_pages() {
        assert_eq!(boundaries(&[1], &[1, 1, 1]), [0, 1]);
        assert_eq!(boundaries(&[], &[0, 0]), [0]);
        assert_eq!(boundaries(&[2], &[1, 1, 2]), [0, 1, 2]);
    }
}
