//! What a transaction promises, on both engines.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carillon_model::arn::Home;
use carillon_model::channel_flow::{FlowOperation, FlowPhase, InFlight, Processor, Revision};
use carillon_model::event::{Audience, Event, EventMessageType, EventType};
use carillon_model::identity::{AppInstance, Identity};
use carillon_model::text::{
    AnyArn, ChannelMessagePersistenceType, ChannelMessageStatus, FallbackAction, InvocationType,
    LambdaFunctionArn, MessagingDataType, NonEmptyResourceName,
};
use carillon_model::{Key, MessageKey, Timestamp};
use tokio::time::Instant;

use crate::engine::Value;
use crate::row::Row;
use crate::testing::Schema;
use crate::{
    Committed, Error, Lane, Lanes, Location, Sink, Store, Tx, app_instance, in_flight, lease, outbox,
    outgoing, request_token, setting, streaming, worker,
};

const NOW: i64 = 1_768_478_400_000;

/// A store in a place of its own, and what it published.
struct Place {
    location: Location,
    events: Arc<Mutex<Vec<i64>>>,
    doubtful: Arc<Mutex<Vec<i64>>>,
    work: Arc<Mutex<Vec<crate::Work>>>,
    schema: Option<Schema>,
    _directory: Option<tempfile::TempDir>,
}

impl Place {
    fn open(&self) -> Result<Arc<Store>, Error> {
        let (events, doubtful, work) = (self.events.clone(), self.doubtful.clone(), self.work.clone());
        let sink: Sink = Arc::new(move |committed: Committed| {
            let events = if committed.is_doubtful { &doubtful } else { &events };
            events.lock().unwrap().extend(committed.events.iter().map(|event| event.sequence));
            work.lock().unwrap().extend(committed.work);
        });
        Store::open(&self.location, NOW, &sink).map(Arc::new)
    }

    fn run(&self, sql: &str) {
        match (&self.location, &self.schema) {
            (Location::Sqlite(path), _) => {
                crate::engine::sqlite::connect(path).unwrap().execute_batch(sql).unwrap();
            }
            (_, Some(schema)) => schema.run(&format!("SET search_path TO {}; {sql}", schema.name())),
            _ => unreachable!("a place on PostgreSQL has a schema"),
        }
    }
}

fn on_sqlite(test: fn(&Place)) {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(directory.path().join("carillon.db"));
    test(&Place {
        location,
        events: Arc::default(),
        doubtful: Arc::default(),
        work: Arc::default(),
        schema: None,
        _directory: Some(directory),
    });
}

fn on_postgres(test: fn(&Place)) {
    let schema = Schema::new();
    test(&Place {
        location: schema.location(),
        events: Arc::default(),
        doubtful: Arc::default(),
        work: Arc::default(),
        schema: Some(schema),
        _directory: None,
    });
}

/// Of PostgreSQL alone: SQLite has no connection to lose.
#[test]
fn a_commit_that_may_stand_is_told_as_doubtful() {
    on_postgres(|place| {
        let store = place.open().unwrap();
        place.run(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
             CREATE CONSTRAINT TRIGGER die AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION die()",
        );
        let failed = wait(store.write(Lane::Account, |tx| emit(tx, 1)));
        assert!(
            matches!(failed, Err(Error::Unreachable(words)) if words.contains("the commit was under way"))
        );
        assert_eq!((place.events.lock().unwrap().len(), &*place.doubtful.lock().unwrap()), (0, &vec![1]));
        place.run("DROP TRIGGER die ON outbox");
        wait(store.write(Lane::Account, |tx| emit(tx, 2))).unwrap();
        assert_eq!((&*place.events.lock().unwrap(), store.told()), (&vec![2], event(2).at));
    });
}

/// Of PostgreSQL alone: what is deferred goes over a connection, whose answers come in order.
#[test]
fn a_long_answer_to_what_was_deferred_does_not_stand_in_the_way() {
    on_postgres(|place| {
        let store = place.open().unwrap();
        let found = wait(store.write(Lane::Account, |tx| {
            tx.defer("SELECT repeat('x', 10000000)", &[])?;
            setting::find(tx, "name")
        }));
        assert_eq!(found, Ok(None));
    });
}

/// The same: a failure of what was deferred is heard, and the lane's next transaction finds nothing of it.
#[test]
fn a_failure_of_what_was_deferred_ends_its_transaction_and_no_other() {
    on_postgres(|place| {
        let store = place.open().unwrap();
        let failed = wait(store.write(Lane::Account, |tx| {
            setting::set(tx, "name", "value")?;
            tx.defer("SELECT CAST(repeat('x', 1) AS BIGINT)", &[])?;
            (0..300).try_for_each(|number| emit(tx, number))?;
            setting::find(tx, "name")
        }));
        assert!(
            matches!(&failed, Err(Error::Broken(words)) if words.contains("invalid input syntax")),
            "{failed:?}"
        );
        assert_eq!(value(&store, "name"), None);
        wait(store.write(Lane::Account, |tx| setting::set(tx, "name", "other"))).unwrap();
        assert_eq!(value(&store, "name").as_deref(), Some("other"));
    });
}

/// The same: whoever holds a row that is not theirs to hold keeps a lane for a while only, and is told of as busy.
#[test]
fn a_lock_that_is_never_given_back_does_not_hold_a_lane_for_ever() {
    on_postgres(|place| {
        let store = place.open().unwrap();
        wait(store.write(Lane::Account, |tx| setting::set(tx, "name", "value"))).unwrap();
        let lock =
            format!("BEGIN; UPDATE {}.setting SET value = 'held'", place.schema.as_ref().unwrap().name());
        let held = place.schema.as_ref().unwrap().hold(&lock);
        let refused = wait(store.write(Lane::Account, |tx| {
            setting::set(tx, "name", "late")?;
            setting::find(tx, "name")
        }));
        assert_eq!(refused, Err(Error::Busy));
        drop(held);
        wait(store.write(Lane::Account, |tx| setting::set(tx, "name", "late"))).unwrap();
        assert_eq!(value(&store, "name").as_deref(), Some("late"));
    });
}

/// Of PostgreSQL alone: SQLite prepares again by itself.
#[test]
fn a_statement_that_the_server_knows_no_more_is_prepared_again() {
    on_postgres(|place| {
        let sink: Sink = Arc::new(|_| {});
        let lanes = Lanes { write: 1, read: 1 };
        let store = Arc::new(Store::open_with(&place.location, lanes, NOW, &sink).unwrap());
        wait(store.write(Lane::Account, |tx| setting::set(tx, "name", "value"))).unwrap();
        assert_eq!(value(&store, "name").as_deref(), Some("value"));
        place.run("ALTER TABLE setting ALTER COLUMN value TYPE VARCHAR");
        assert_eq!(value(&store, "name").as_deref(), Some("value"));
    });
}

/// Declares each test once, and runs it on both engines.
macro_rules! on_both {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                super::on_sqlite(super::checks::$name);
            }
            #[test]
            fn postgres() {
                super::on_postgres(super::checks::$name);
            }
        }
    )*};
}

on_both! {
    a_refusal_leaves_no_trace_and_its_neighbours_stand
    a_panic_takes_down_only_its_own_transaction
    a_faulty_statement_fails_only_its_own_transaction
    events_are_published_after_the_commit_in_the_order_of_numbers
    any_text_comes_back_as_it_went_in
    what_was_answered_is_there_after_a_restart
    a_schema_newer_than_the_binary_is_refused
    a_store_opened_twice_at_once_is_migrated_once
    a_read_sees_one_snapshot
    a_read_waits_for_none_while_a_worker_is_idle
    what_nobody_waits_for_any_more_is_not_run
    what_a_request_wants_after_its_time_is_not_run
    old_events_are_deleted_in_steps
    what_is_to_leave_is_listed_by_line_in_its_order_and_ends_once
    what_leaves_is_known_at_once_where_it_was_changed_and_soon_elsewhere
    a_token_that_was_used_again_is_not_deleted
    a_lease_is_whose_it_is_known_to_be
    only_what_was_committed_leaves_work
    a_backlog_is_read_where_it_is_due_and_nowhere_else
    what_lanes_share_is_changed_once_for_each_and_in_vain_for_none
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// A transaction of a test.
type Work = Box<dyn Fn(&mut Tx) -> Result<(), Error> + Send>;

/// Runs many transactions of one aggregate at once, so that they share batches.
fn write_all(store: &Arc<Store>, works: Vec<Work>) -> Vec<Result<(), Error>> {
    wait(async {
        let mut waiting = Vec::new();
        for work in works {
            let store = store.clone();
            waiting.push(tokio::spawn(async move { store.write(Lane::Account, move |tx| work(tx)).await }));
        }
        let mut results = Vec::new();
        for one in waiting {
            results.push(one.await.unwrap());
        }
        results
    })
}

type Long = Box<dyn Fn(&mut Tx) -> Result<(), Error> + Send>;

/// Begins a transaction that says that it runs, and runs until it is told to end.
fn begin_long<F>(
    store: &Arc<Store>,
    run: F,
) -> (Receiver<()>, Sender<()>, std::thread::JoinHandle<Result<(), Error>>)
where
    F: AsyncFnOnce(&Store, Long) -> Result<(), Error> + Send + 'static,
{
    let (says, begun) = channel();
    let (end, told) = channel();
    let told = Mutex::new(told);
    let work: Long = Box::new(move |_| {
        says.send(()).unwrap();
        told.lock().unwrap().recv().unwrap();
        Ok(())
    });
    let store = store.clone();
    (begun, end, std::thread::spawn(move || wait(run(&store, work))))
}

fn value(store: &Arc<Store>, name: &'static str) -> Option<String> {
    wait(store.read(move |tx| setting::find(tx, name))).unwrap()
}

fn event(sequence: i64) -> Event {
    Event {
        channel: Key([1; 16]),
        sequence,
        at: Timestamp::from_ms(NOW + sequence),
        kind: EventType::CreateChannelMessage,
        message_type: EventMessageType::Standard,
        audience: Audience::members(Key([1; 16])),
        changes: Vec::new(),
        message: None,
        reason: None,
        payload: "{}".to_owned(),
    }
}

/// A message that waits for one of 30 functions, or for a callback.
fn message_in_flight(number: u16) -> InFlight {
    let key = |kind: u8| {
        let mut key = [kind; 16];
        key[14..].copy_from_slice(&number.to_be_bytes());
        key
    };
    let function = format!("arn:aws:lambda:us-east-1:000000000000:function:{}", number % 30);
    let processor = Processor {
        name: NonEmptyResourceName::stored("Moderate".to_owned()),
        function: LambdaFunctionArn::stored(function),
        invocation: InvocationType::Async,
        order: 1.try_into().unwrap(),
        fallback: FallbackAction::Abort,
    };
    let home = Home::new("us-east-1", "000000000000");
    InFlight {
        channel: Key([1; 16]),
        run: Key(key(2)),
        sub_channel: Key([1; 16]),
        message: MessageKey([key(3), key(6)].concat().try_into().unwrap()),
        operation: FlowOperation::Create,
        persistence: ChannelMessagePersistenceType::Persistent,
        sender: Identity {
            key: Key([u8::try_from(number % 10).unwrap(); 16]),
            arn: home.app_instance(Key([4; 16])).user("ana"),
            name: "Ana".to_owned(),
        },
        target: None,
        said: Revision::default(),
        revised: None,
        processors: vec![processor],
        stage: 0,
        secret: Key(key(5)),
        answered: Vec::new(),
        phase: if number.is_multiple_of(2) { FlowPhase::HandOver } else { FlowPhase::Wait },
        status: ChannelMessageStatus::Pending,
        detail: None,
        accepted_at: Timestamp::from_ms(NOW),
        updated_at: Timestamp::from_ms(NOW),
        attempts: 0,
        tried_since: None,
        due_at: Timestamp::from_ms(NOW + i64::from(number)),
    }
}

/// How the engine would run a statement.
fn plan(place: &Place, store: &Arc<Store>, sql: &'static str, values: Vec<Value<'static>>) -> String {
    let (explain, column) = match place.location {
        Location::Sqlite(_) => ("EXPLAIN QUERY PLAN", 3),
        Location::Postgres(_) => ("EXPLAIN", 0),
    };
    let sql: &'static str = format!("{explain} {sql}").leak();
    let text = move |row: &mut Row<'_>| {
        (0..column).try_for_each(|_| row.read::<i64>().map(drop))?;
        row.read::<String>()
    };
    wait(store.write(Lane::Account, move |tx| tx.rows(sql, &values, text))).unwrap().join("\n")
}

/// Emits an event, as late as it must be.
fn emit(tx: &mut Tx, number: i64) -> Result<(), Error> {
    let event = event(number);
    tx.emit(Event { at: tx.instant(event.at), ..event })
}

mod checks {
    use carillon_model::text::ClientRequestToken;

    use super::*;

    pub(super) fn a_refusal_leaves_no_trace_and_its_neighbours_stand(place: &Place) {
        let store = place.open().unwrap();
        let works: Vec<Work> = (0..50)
            .map(|number| -> Work {
                Box::new(move |tx: &mut Tx| {
                    let name = if number % 10 == 3 { "refused" } else { "kept" };
                    setting::set(tx, &format!("{name} {number}"), "here")?;
                    emit(tx, number)?;
                    if number % 10 == 3 { Err(Error::broken("no")) } else { Ok(()) }
                })
            })
            .collect();
        let results = write_all(&store, works);
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 5);
        assert_eq!(value(&store, "refused 13"), None);
        for name in ["kept 0", "kept 12", "kept 14", "kept 49"] {
            assert_eq!(value(&store, name).as_deref(), Some("here"), "{name}");
        }
        let published = place.events.lock().unwrap().clone();
        assert_eq!(published, (0..50).filter(|number| number % 10 != 3).collect::<Vec<_>>());
    }

    pub(super) fn a_panic_takes_down_only_its_own_transaction(place: &Place) {
        let store = place.open().unwrap();
        let works: Vec<Work> = vec![
            Box::new(|tx| setting::set(tx, "before", "here")),
            Box::new(|tx| {
                setting::set(tx, "within", "here")?;
                panic!("on purpose, in a test");
            }),
            Box::new(|tx| setting::set(tx, "after", "here")),
        ];
        let results = write_all(&store, works);
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(value(&store, "within"), None);
        assert_eq!(value(&store, "before").or(value(&store, "after")).as_deref(), Some("here"));
    }

    pub(super) fn a_faulty_statement_fails_only_its_own_transaction(place: &Place) {
        let store = place.open().unwrap();
        // The same number twice in one outbox: the engine refuses the second, whichever that is.
        let works: Vec<Work> = [1, 2, 2, 3]
            .into_iter()
            .map(|number| -> Work { Box::new(move |tx: &mut Tx| emit(tx, number)) })
            .collect();
        let results = write_all(&store, works);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
        let stored = wait(store.read(|tx| outbox::list(tx, Key([1; 16]), 0, 10))).unwrap();
        assert_eq!(stored.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(*place.events.lock().unwrap(), [1, 2, 3]);
    }

    pub(super) fn events_are_published_after_the_commit_in_the_order_of_numbers(place: &Place) {
        let store = place.open().unwrap();
        let works: Vec<Work> =
            (0..300).map(|number| -> Work { Box::new(move |tx: &mut Tx| emit(tx, number)) }).collect();
        assert!(write_all(&store, works).iter().all(Result::is_ok));
        assert_eq!(*place.events.lock().unwrap(), (0..300).collect::<Vec<_>>());
        let stored = wait(store.read(|tx| outbox::list(tx, Key([1; 16]), 297, 10))).unwrap();
        assert_eq!(stored, [event(298), event(299)]);
    }

    pub(super) fn a_lease_is_whose_it_is_known_to_be(place: &Place) {
        let store = place.open().unwrap();
        let keep = |owner: u8, known: Option<lease::Held>| {
            let (now, owner) = (Timestamp::from_ms(5), Key([owner; 16]));
            wait(store.write(Lane::Job, move |tx| lease::keep(tx, "job", owner, known, now))).unwrap()
        };
        let release = |owner: u8| {
            wait(store.write(Lane::Job, move |tx| lease::release(tx, "job", Key([owner; 16])))).unwrap();
        };
        let first = keep(1, None);
        let kept = keep(1, first);
        assert!(first.is_some() && kept.is_some() && kept != first, "each time it changes");
        assert_eq!((keep(2, None), keep(2, first)), (None, None), "it is another's, and moved");
        let taken = keep(2, kept);
        assert!(taken.is_some(), "its owner is gone");
        assert_eq!((keep(1, kept), keep(1, None)), (None, None), "which had its time");
        release(1);
        assert_eq!(wait(store.read(lease::list)).unwrap(), [("job".to_owned(), taken.unwrap())]);
        release(2);
        assert_eq!(keep(1, kept), None, "what was another's in between is not what it was");
        assert!(keep(1, None).is_some());
    }

    pub(super) fn only_what_was_committed_leaves_work(place: &Place) {
        let store = place.open().unwrap();
        let work = |result: fn() -> Result<(), Error>, work: crate::Work| -> Work {
            Box::new(move |tx| {
                setting::set(tx, "name", "value")?;
                tx.wake(work);
                result()
            })
        };
        let refused: fn() -> Result<(), Error> = || Err(Error::broken("refused"));
        write_all(&store, vec![work(|| Ok(()), crate::Work::Flow), work(refused, crate::Work::Balance)]);
        assert_eq!(*place.work.lock().unwrap(), [crate::Work::Flow]);
    }

    pub(super) fn what_lanes_share_is_changed_once_for_each_and_in_vain_for_none(place: &Place) {
        let store = place.open().unwrap();
        let home = Home::new("us-east-1", "111122223333");
        let key = Key([1; 16]);
        let instance = AppInstance {
            key,
            arn: home.app_instance(key),
            name: "Bells".parse().unwrap(),
            metadata: None,
            created_at: Timestamp::from_ms(NOW),
            updated_at: Timestamp::from_ms(NOW),
        };
        wait(store.write(Lane::Account, move |tx| app_instance::insert(tx, &instance))).unwrap();
        let one = app_instance::Counts { channels: 1, ..app_instance::Counts::default() };
        let most = app_instance::Counts { channels: 20, ..app_instance::Counts::MAX };
        // Lanes of several workers, and several writes in each of their batches.
        let results = wait(async {
            let grow = |number: usize| {
                let store = store.clone();
                tokio::spawn(async move {
                    let lane = Lane::Channel(key, (number % 8).to_string());
                    let grow = move |tx: &mut Tx| {
                        let counts = app_instance::find_counts(tx, key)?.expect("it was made above");
                        if most.channels <= counts.channels {
                            return Err(Error::broken("full"));
                        }
                        app_instance::grow(tx, key, one, most)
                    };
                    store.write(lane, grow).await
                })
            };
            let mut results = Vec::new();
            for growing in (0..30).map(grow).collect::<Vec<_>>() {
                results.push(growing.await.unwrap());
            }
            results
        });
        let grown = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(grown, 20, "{results:?}");
        assert!(results.iter().all(|result| result.is_ok() || *result == Err(Error::broken("full"))));
        let counts = wait(store.read(move |tx| app_instance::find_counts(tx, key))).unwrap();
        assert_eq!(counts.map(|counts| counts.channels), Some(20));
    }

    pub(super) fn any_text_comes_back_as_it_went_in(place: &Place) {
        let store = place.open().unwrap();
        for text in ["", "plain", "\0", "a\0b\u{1a}0\u{1a}", "🛎 \u{ffff}"] {
            wait(store.write(Lane::Account, move |tx| setting::set(tx, "text", text))).unwrap();
            assert_eq!(value(&store, "text").as_deref(), Some(text), "{text:?}");
        }
    }

    pub(super) fn what_was_answered_is_there_after_a_restart(place: &Place) {
        let store = place.open().unwrap();
        wait(store.write(Lane::Account, |tx| setting::set(tx, "answered", "yes"))).unwrap();
        drop(store);
        assert_eq!(value(&place.open().unwrap(), "answered").as_deref(), Some("yes"));
    }

    pub(super) fn a_read_waits_for_none_while_a_worker_is_idle(place: &Place) {
        let sink: Sink = Arc::new(|_| {});
        let lanes = Lanes { write: 1, read: 2 };
        let store = Arc::new(Store::open_with(&place.location, lanes, NOW, &sink).unwrap());
        let (begun, end, long) = begin_long(&store, async |store, work| store.read(work).await);
        begun.recv().unwrap();
        for _ in 0..20 {
            assert_eq!(value(&store, "name"), None); // Each would wait for ever, if it had to wait for the long one.
        }
        end.send(()).unwrap();
        long.join().unwrap().unwrap();
    }

    pub(super) fn what_nobody_waits_for_any_more_is_not_run(place: &Place) {
        let store = place.open().unwrap();
        let (begun, end, long) =
            begin_long(&store, async |store, work| store.write(Lane::Account, work).await);
        begun.recv().unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        wait(async {
            let counted = ran.clone();
            let work = move |_: &mut Tx| Ok::<_, Error>(counted.fetch_add(1, Ordering::Relaxed));
            let mut waiting = std::pin::pin!(store.write(Lane::Account, work));
            std::future::poll_fn(|context| {
                assert!(waiting.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        });
        end.send(()).unwrap();
        long.join().unwrap().unwrap();
        wait(store.write(Lane::Account, |tx| setting::set(tx, "name", "after"))).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 0);
    }

    pub(super) fn what_a_request_wants_after_its_time_is_not_run(place: &Place) {
        let store = place.open().unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let write = || {
            let counted = ran.clone();
            store.write(Lane::Account, move |_| Ok::<_, Error>(counted.fetch_add(1, Ordering::Relaxed)))
        };
        wait(async {
            assert_eq!(worker::until(Instant::now(), write()).await, Err(Error::Busy));
            assert_eq!(
                worker::until(Instant::now(), store.read(|_| Ok::<_, Error>(()))).await,
                Err(Error::Busy)
            );
            // One that is not over yet ends while something else is in the way.
            let (begun, end, long) =
                begin_long(&store, async |store, work| store.write(Lane::Account, work).await);
            begun.recv().unwrap();
            let both = async {
                store.read(|_| Ok::<_, Error>(())).await.unwrap();
                write().await
            };
            assert_eq!(
                worker::until(Instant::now() + Duration::from_millis(500), both).await,
                Err(Error::Busy)
            );
            end.send(()).unwrap();
            tokio::task::spawn_blocking(|| long.join().unwrap().unwrap()).await.unwrap();
            // A job has the time that it needs.
            let job = store.write(Lane::Job, |tx| setting::set(tx, "name", "after"));
            worker::until(Instant::now(), job).await.unwrap();
        });
        assert_eq!(ran.load(Ordering::Relaxed), 0);
    }

    pub(super) fn a_schema_newer_than_the_binary_is_refused(place: &Place) {
        drop(place.open().unwrap());
        place.run("INSERT INTO migration (version, applied_at) VALUES (1000000, 0)");
        let Err(Error::Newer(words)) = place.open() else { panic!("it was opened") };
        assert!(words.contains("newer than this carillon"), "{words}");
    }

    pub(super) fn a_store_opened_twice_at_once_is_migrated_once(place: &Place) {
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..4).map(|_| scope.spawn(|| place.open())).collect();
            for one in opened {
                assert_eq!(one.join().unwrap().unwrap().deadlocks(), 0);
            }
        });
    }

    pub(super) fn a_read_sees_one_snapshot(place: &Place) {
        let store = place.open().unwrap();
        let home = Home::new("us-east-1", "111122223333");
        let instance = move |number: u8| AppInstance {
            key: Key([number; 16]),
            arn: home.app_instance(Key([number; 16])),
            name: "Bells".parse().unwrap(),
            metadata: None,
            created_at: Timestamp::from_ms(NOW),
            updated_at: Timestamp::from_ms(NOW),
        };
        let (first, second) = (instance(1), instance(2));
        wait(store.write(Lane::Account, move |tx| app_instance::insert(tx, &first))).unwrap();
        // Another transaction commits between the two reads of this one.
        let (inner, seen) = (store.clone(), Arc::new(AtomicUsize::new(0)));
        let counts = wait(store.read({
            let seen = seen.clone();
            move |tx| {
                let before = app_instance::count(tx, 10)?;
                if seen.fetch_add(1, Ordering::Relaxed) == 0 {
                    let (inner, second) = (inner.clone(), second.clone());
                    let write =
                        move || wait(inner.write(Lane::Account, move |tx| app_instance::insert(tx, &second)));
                    std::thread::spawn(write).join().expect("it does not panic")?;
                }
                Ok::<_, Error>((before, app_instance::count(tx, 10)?))
            }
        }));
        assert_eq!(counts.unwrap(), (1, 1));
        assert_eq!(wait(store.read(|tx| app_instance::count(tx, 10))).unwrap(), 2);
    }

    pub(super) fn a_backlog_is_read_where_it_is_due_and_nowhere_else(place: &Place) {
        const KEY: Value<'_> = Value::Bytes(Cow::Borrowed(&[1; 16]));
        const FUNCTION: Value<'_> =
            Value::Text(Cow::Borrowed("arn:aws:lambda:us-east-1:000000000000:function:4"));
        let store = place.open().unwrap();
        let insert =
            |tx: &mut Tx| (0..6_000).try_for_each(|number| in_flight::insert(tx, &message_in_flight(number)));
        wait(store.write(Lane::Account, insert)).unwrap();
        place.run("ANALYZE in_flight");
        let statements: [(&'static str, Vec<Value<'static>>, &str); 3] = [
            (in_flight::FIND_WAITING, vec![FUNCTION], "in_flight_to_call"),
            (
                in_flight::LEASE_DUE,
                vec![KEY, Value::Int(NOW + 9_000), FUNCTION, Value::Int(NOW + 3_000), Value::Int(10)],
                "in_flight_to_call",
            ),
            (in_flight::COUNT_SINCE, vec![KEY, KEY, KEY, Value::Int(5)], "in_flight_by_sender"),
        ];
        for (sql, values, index) in statements {
            let plan = plan(place, &store, sql, values);
            assert!(plan.contains(index), "{sql}\n{plan}");
            let whole = ["SCAN in_flight\n", "Seq Scan on in_flight", "TEMP B-TREE FOR ORDER"];
            assert!(!whole.iter().any(|words| format!("{plan}\n").contains(words)), "{sql}\n{plan}");
        }
    }

    /// The job looked at the token while a request used it again: the row decides, not what the job saw.
    pub(super) fn a_token_that_was_used_again_is_not_deleted(place: &Place) {
        let store = place.open().unwrap();
        let [token, other]: [ClientRequestToken; 2] = ["once", "other"].map(|text| text.parse().unwrap());
        let (then, now) = (Timestamp::from_ms(NOW), Timestamp::from_ms(NOW + 10));
        let keep = |token: ClientRequestToken, at: Timestamp| {
            let work = move |tx: &mut Tx| {
                let scope = request_token::Scope { owner: Key([1; 16]), operation: "Send", token: &token };
                let earlier = request_token::Earlier { input: vec![], result: at.to_string() };
                request_token::insert(tx, scope, earlier, at, 10)
            };
            wait(store.write(Lane::Account, work)).unwrap();
        };
        keep(token.clone(), then);
        keep(other, then);
        let first = (Key([0; 16]), String::new(), String::new());
        let list = |before| {
            let first = first.clone();
            let list = move |tx: &mut Tx| request_token::list_old(tx, &first, before, 10);
            wait(store.read(list)).unwrap().0
        };
        let seen = list(now);
        assert_eq!(seen.len(), 2);
        keep(token, now);
        wait(store.write(Lane::Job, move |tx| request_token::delete_old(tx, &seen, now))).unwrap();
        assert_eq!(list(Timestamp::from_ms(i64::MAX)).len(), 1);
    }

    pub(super) fn old_events_are_deleted_in_steps(place: &Place) {
        let store = place.open().unwrap();
        wait(store.write(Lane::Account, |tx| (0..10).try_for_each(|number| emit(tx, number)))).unwrap();
        let delete = || {
            let before = Timestamp::from_ms(NOW + 7);
            wait(store.write(Lane::Account, move |tx| outbox::delete_old(tx, before, 5))).unwrap()
        };
        assert_eq!((delete(), delete(), delete()), (5, 2, 0));
        let left = wait(store.read(|tx| outbox::list(tx, Key([1; 16]), -1, 10))).unwrap();
        assert_eq!(left.iter().map(|event| event.sequence).collect::<Vec<_>>(), [7, 8, 9]);
    }

    pub(super) fn what_is_to_leave_is_listed_by_line_in_its_order_and_ends_once(place: &Place) {
        let store = place.open().unwrap();
        let rows = [(2, 1, 0), (1, 7, 1), (1, 7, 0), (1, 5, 0), (17, 9, 0)];
        let insert = move |tx: &mut Tx| {
            rows.into_iter().try_for_each(|(channel, sequence, part)| {
                ["stream b", "stream a"]
                    .into_iter()
                    .filter(|queue| channel != 2 || *queue == "stream a")
                    .try_for_each(|queue| outgoing::insert(tx, queue, &leaving(channel, sequence, part)))
            })
        };
        wait(store.write(Lane::Account, insert)).unwrap();
        assert_eq!(*place.work.lock().unwrap(), [crate::Work::Outgoing]);
        let line = |shard, queue: &str| outgoing::Line { shard, queue: queue.to_owned() };
        let lines = [line(1, "stream a"), line(1, "stream b"), line(2, "stream a")];
        assert_eq!(wait(store.read(outgoing::list_lines)).unwrap(), lines);
        let list = |after, limit| {
            let list = move |tx: &mut Tx| outgoing::list(tx, &line(1, "stream a"), after, limit);
            let rows = wait(store.read(list)).unwrap();
            rows.into_iter().map(|row| row.body).collect::<Vec<_>>()
        };
        assert_eq!(list(outgoing::Place::FIRST, 9), ["1 5 0", "1 7 0", "1 7 1", "17 9 0"]);
        assert_eq!(list(outgoing::Place::after(Key([1; 16])), 9), ["17 9 0"]);
        let done = leaving(1, 7, 0).place;
        let end = |queue: &'static str| {
            wait(store.write(Lane::Outgoing(1), move |tx| outgoing::delete(tx, queue, done)))
        };
        assert!(end("stream b").is_ok());
        assert!(end("stream b").is_err(), "somebody has ended it");
        wait(store.write(Lane::Outgoing(1), move |tx| {
            outgoing::rewrite(tx, "stream a", leaving(1, 7, 1).place, "other")?;
            outgoing::delete_done(tx, "stream a", done)?;
            outgoing::delete_done(tx, "stream a", done)
        }))
        .unwrap();
        // What came before it meanwhile has not been handed over.
        assert_eq!(list(outgoing::Place::FIRST, 9), ["1 5 0", "other", "17 9 0"]);
        let measured = wait(store.read(move |tx| outgoing::measure(tx, &line(1, "stream a")))).unwrap();
        assert_eq!(measured, (3, Some(Timestamp::from_ms(5))));
    }

    pub(super) fn what_leaves_is_known_at_once_where_it_was_changed_and_soon_elsewhere(place: &Place) {
        let (one, other) = (place.open().unwrap(), place.open().unwrap());
        let instance = Key([9; 16]);
        let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/chime-messaging-all";
        let has = |store: &Store| store.outlets().has_stream(instance, stream);
        let configured = vec![(MessagingDataType::Channel, AnyArn::stored(stream.to_owned()))];
        wait(one.write(Lane::Account, move |tx| streaming::replace(tx, instance, &configured))).unwrap();
        assert!(has(&one) && !has(&other));
        wait(other.refresh_outlets()).unwrap();
        assert!(has(&other));
        let refused = move |tx: &mut Tx| {
            streaming::replace(tx, instance, &[])?;
            Err::<(), _>(Error::broken("no"))
        };
        assert!(wait(other.write(Lane::Account, refused)).is_err());
        assert!(has(&other), "what did not happen changes nothing");
        wait(other.write(Lane::Account, move |tx| streaming::replace(tx, instance, &[]))).unwrap();
        assert!(has(&one) && !has(&other));
        drop((one, other));
        assert!(!has(&place.open().unwrap()));
    }
}

/// Something that is to leave the server.
fn leaving(channel: u8, sequence: i64, part: i64) -> outgoing::Outgoing {
    let place = outgoing::Place { channel: Key([channel; 16]), sequence, part };
    let body = format!("{channel} {sequence} {part}");
    outgoing::Outgoing { place, at: Timestamp::from_ms(sequence), body }
}
