//! The store: whether it can be reached and served, and what waits in it.

use carillon_access::count_unreadable;
use carillon_model::{Key, Timestamp};
use carillon_store::moving::{self, Unfinished};
use carillon_store::{self as store, Location, Schema, Tx, beat, outgoing};

use super::scene::Scene;
use super::{Check, Found, ok, serious, warning};
use crate::config::BusAddress;
use crate::wire::words_of;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "store", look: reach },
    Check { name: "schema", look: schema },
    Check { name: "import", look: import },
    Check { name: "log", look: log },
    Check { name: "pages", look: pages },
    Check { name: "sealed", look: sealed },
    Check { name: "nodes", look: nodes },
    Check { name: "backlog", look: backlog },
];

/// The log of a SQLite store: the server begins it anew at an eighth of this, unless somebody reads for long.
const LOG_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Damaged pages that are named.
const PAGES_NAMED_MAX: usize = 10;
/// How long a node that lives says nothing at most.
const SILENCE_MS_MAX: i64 = 30_000;
/// How long anything waits to leave the server before that is worth a look,
const WAIT_MS_MAX: i64 = 10 * 60_000;
/// and before somebody misses it.
const WAIT_MS_MOST: i64 = 60 * 60_000;

fn reach(scene: &Scene<'_>) -> Vec<Found> {
    let address = &scene.settings.store;
    match &scene.schema {
        Ok(None) => vec![ok(format!("{address} will be made at the first start"))],
        Ok(Some(_)) => vec![ok(format!("{address} can be reached"))],
        Err(error) => vec![serious(
            format!("{address} cannot be used: {error}"),
            "Is --store right, does it run, may this user use it? A new database is empty until the first start.",
        )],
    }
}

fn schema(scene: &Scene<'_>) -> Vec<Found> {
    let Ok(Some(found)) = scene.schema else { return vec![ok("not known")] };
    let known = Schema::known();
    if !found.is_served() {
        let finding = format!(
            "the store needs a server that knows version {}, and this one knows {known}",
            found.needs
        );
        return vec![serious(finding, "Run the carillon that brought it there, or a later one.")];
    }
    if found.version == known {
        return vec![ok(format!("version {known}"))];
    }
    if found.version < known {
        return vec![ok(format!(
            "version {}; the next start of this carillon brings it to {known}",
            found.version
        ))];
    }
    let finding = format!("version {}, which a later carillon made; this one knows {known}", found.version);
    vec![warning(finding, "Exchange the older nodes, too.")]
}

fn import(scene: &Scene<'_>) -> Vec<Found> {
    let remedy =
        "Repeat `carillon import` as it was given, unless it is under way: it brings what is missing.";
    scene.look(moving::unfinished, |unfinished| {
        let found = unfinished.iter().map(|one| match one {
            Unfinished::Archive(_) => serious(words_of(one), remedy),
            Unfinished::Service(_) => warning(words_of(one), remedy),
        });
        let found: Vec<Found> = found.collect();
        if found.is_empty() { vec![ok("none was cut off")] } else { found }
    })
}

fn log(scene: &Scene<'_>) -> Vec<Found> {
    if !matches!(scene.settings.store.location, Location::Sqlite(_)) {
        return vec![ok("the database keeps its own")];
    }
    let (store, mib) = (&scene.settings.store, scene.log_bytes / 1024 / 1024);
    if LOG_BYTES_MAX <= scene.log_bytes {
        return vec![warning(
            format!("the log of {store} has {mib} MiB: somebody has read one state for long"),
            "End it (a backup, a shell of sqlite3), or wait for it. The end of the server shortens the log.",
        )];
    }
    vec![ok(format!("{mib} MiB"))]
}

/// Reads the whole file, whether or not the store can be opened.
fn pages(scene: &Scene<'_>) -> Vec<Found> {
    let Location::Sqlite(path) = &scene.settings.store.location else {
        return vec![ok("the database looks after its own")];
    };
    if !path.exists() {
        return vec![ok("there are none yet")];
    }
    let found = match &scene.pages {
        // Of a page that a crash left half written, the whole is in the log, and there by now.
        Ok(Some(found)) if !found.is_empty() => store::broken_pages(path).map(Option::unwrap_or_default),
        Ok(Some(_)) => Ok(Vec::new()),
        Ok(None) => {
            return vec![ok(
                "they have no sums: a carillon before sums made the store. A restore of a backup gives them",
            )];
        }
        Err(error) => Err(error.clone()),
    };
    let broken = match found {
        Ok(broken) => broken,
        Err(error) => return vec![serious(error.to_string(), "May this user read it? Is the disk whole?")],
    };
    if broken.is_empty() {
        return vec![ok("all are as they were written")];
    }
    let named = broken.iter().take(PAGES_NAMED_MAX).map(u64::to_string).collect::<Vec<_>>().join(", ");
    let finding = format!("{} pages are not as they were written, and are not served: {named}", broken.len());
    vec![serious(
        finding,
        "Restore a backup, on another disk. If somebody wrote to the file with another SQLite, they end with VACUUM.",
    )]
}

fn sealed(scene: &Scene<'_>) -> Vec<Found> {
    if scene.store().is_some() && scene.keys.is_none() {
        return vec![serious(
            "there is a store and no master key, which a server would make anew: what is sealed would stay so",
            "Put the master-key of before into the data folder, or give it as CARILLON_MASTER_KEY.",
        )];
    }
    // Read again: a ring cannot be given to a transaction, which may run more than once.
    let folder = scene.settings.data_dir.clone();
    let count = move |tx: &mut Tx| match crate::master_key::find(&folder) {
        Ok(Some(keys)) => count_unreadable(tx, &keys),
        _ => Ok(0),
    };
    scene.look(count, |unreadable| {
        if unreadable == 0 {
            return vec![ok("the master keys open all access keys")];
        }
        vec![serious(
            format!("no master key opens {unreadable} of the access keys, so no server starts"),
            "Give the key that they were sealed with too, after the new one: CARILLON_MASTER_KEY=new,old.",
        )]
    })
}

/// When each node was last heard of.
fn last_heard(tx: &mut Tx) -> store::Result<Vec<(Key, Timestamp)>> {
    let mut heard = Vec::new();
    for (node, number) in beat::list_nodes(tx)? {
        heard.extend(beat::list(tx, node, number - 1, 1)?.into_iter().map(|beat| (node, beat.floor)));
    }
    Ok(heard)
}

fn nodes(scene: &Scene<'_>) -> Vec<Found> {
    if scene.settings.bus == BusAddress::Local && matches!(scene.settings.store.location, Location::Sqlite(_))
    {
        return vec![ok("there is one")];
    }
    let now = scene.now;
    scene.look(last_heard, |heard| {
        let count = heard.len();
        let stale = heard.into_iter().filter(|(_, at)| SILENCE_MS_MAX < now.ms() - at.ms());
        let found: Vec<Found> = stale
            .map(|(node, at)| {
                let finding =
                    format!("node {node} has said nothing since {at}, and nobody has taken over from it");
                warning(
                    finding,
                    "Start a node: it takes over. Where it is to live, look at its log, disk and clock.",
                )
            })
            .collect();
        if found.is_empty() { vec![ok(format!("{count} in the store, none is silent"))] } else { found }
    })
}

/// What waits in each queue, and since when.
fn waiting(tx: &mut Tx) -> store::Result<Vec<(String, i64, Option<Timestamp>)>> {
    let lines = outgoing::list_lines(tx)?;
    let each = |line: outgoing::Line| {
        let (count, since) = outgoing::measure(tx, &line)?;
        Ok((line.queue, count, since))
    };
    lines.into_iter().map(each).collect()
}

fn backlog(scene: &Scene<'_>) -> Vec<Found> {
    let now = scene.now;
    scene.look(waiting, |lines| {
        let mut all = 0;
        let mut oldest: std::collections::BTreeMap<String, (i64, i64)> = std::collections::BTreeMap::new();
        for (queue, count, since) in lines {
            all += count;
            let age_ms = since.map_or(0, |since| now.ms() - since.ms());
            let of_queue = oldest.entry(queue).or_default();
            *of_queue = (of_queue.0 + count, of_queue.1.max(age_ms));
        }
        let remedy = "Is its target reachable, and does a server run? Its log says why it waits.";
        let late = oldest.into_iter().filter(|(_, (_, age_ms))| WAIT_MS_MAX < *age_ms);
        let found: Vec<Found> = late
            .map(|(queue, (count, age_ms))| {
                let finding =
                    format!("{count} rows of {queue} wait, the oldest for {} minutes", age_ms / 60_000);
                if WAIT_MS_MOST < age_ms { serious(finding, remedy) } else { warning(finding, remedy) }
            })
            .collect();
        if found.is_empty() { vec![ok(format!("{all} rows are on their way"))] } else { found }
    })
}
