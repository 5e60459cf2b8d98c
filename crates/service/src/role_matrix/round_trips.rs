//! How often each operation waits for PostgreSQL until it is answered, as one table: `round_trips.txt`.
//!
//! Statements that are sent together are one wait. A new one is read here before it is felt: run the test with
//! `CARILLON_WRITE_ROUND_TRIPS=1`, and say in the commit why it is worth it.

use super::valid::valid;
use super::*;

const TRIPS: &str = include_str!("round_trips.txt");
const TRIPS_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/role_matrix/round_trips.txt");

#[test]
fn no_operation_waits_more_often_than_the_table_says() {
    World::across_a_network(|world| {
        let cast = Cast::new(world);
        let mut table = String::new();
        for route in crate::front::route::all() {
            let valid = valid(world, &cast, &route);
            let before = world.round_trips();
            let (status, answer) = valid.send(world);
            let waits = world.round_trips() - before;
            assert!(status < 300, "{} was refused, and has no figure: {answer}", route.name);
            writeln!(table, "{:48} {waits}", route.name).unwrap();
        }
        if std::env::var_os("CARILLON_WRITE_ROUND_TRIPS").is_some() {
            std::fs::write(TRIPS_PATH, &table).unwrap();
        } else {
            assert!(table == TRIPS, "round_trips.txt is not what happens now, which is:\n{table}");
        }
    });
}

#[test]
fn an_engine_in_this_process_is_not_waited_for() {
    World::once(|world| {
        world.user("ana");
        assert_eq!(world.round_trips(), 0);
    });
}
