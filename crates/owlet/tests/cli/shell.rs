//! `owlet shell`, fed through its standard input.

use crate::harness::Place;

#[test]
fn a_session() {
    let place = Place::with_shop();
    let input = r"SELECT 1
  AS a;
\dt
\d shop.orders
SELECT nope FROM shop.orders;
\pushdown off
\o json
SELECT id FROM shop.orders WHERE id = 1;
\nonsense
\q
SELECT 'not reached';
";
    insta::assert_snapshot!(place.run_with_input(&["shell", "-o", "csv"], input));
}
