//! `evenkeel-bootstrap apply` where all goes well: from machines that nobody has touched to the table, and
//! again.

use std::time::Instant;

use crate::by_hand::{TABLE, table};
use crate::lab::{FIVE, with_lab};
use crate::operator::{succeed, write_inventory};

#[test]
fn nothing_becomes_the_table_and_a_second_apply_changes_nothing() {
    let name = "from_nothing::nothing_becomes_the_table_and_a_second_apply_changes_nothing";
    with_lab(name, FIVE, |lab| {
        write_inventory(lab, "admin");
        let began = Instant::now();
        succeed(&["apply", "--yes"]);
        eprintln!("from nothing: {:.1?}", began.elapsed());
        assert_eq!(table(lab.node("master1")), TABLE);
        let began = Instant::now();
        let again = succeed(&["apply", "--yes"]);
        eprintln!("again: {:.1?}", began.elapsed());
        assert!(again.contains("0 steps done"), "{again}");
        let began = Instant::now();
        crate::operate::soon_after(lab);
        eprintln!("operated: {:.1?}", began.elapsed());
    });
}
