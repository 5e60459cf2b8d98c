//! What is run: one history in a process of its own, so that nothing of another is in it; many of them, each by such a
//! process; and the planted faults, until each is found.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever started it")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::{Parser, ValueEnum as _};

use crate::chance;
use crate::check::check;
use crate::fault::Fault;
use crate::ground::lock;
use crate::scene::{STORE, Scene};
use crate::world::World;

/// As what a child ends that found a promise broken.
const BROKEN: u8 = 3;

/// Whether anything did.
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

/// A history that broke a promise, and what was said of it.
struct Broken {
    seed: u64,
    words: String,
}

/// Simulates histories of three nodes.
#[derive(Debug, Parser)]
#[command(name = "carillon-simulation")]
pub(crate) struct Arguments {
    /// How many histories.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The number of the first.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps of each.
    #[arg(long, default_value_t = 600)]
    steps: usize,
    /// A fault to plant.
    #[arg(long)]
    fault: Option<Fault>,
    /// Plants each fault in turn, until it is found.
    #[arg(long)]
    faults: bool,
    /// How many run at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Shows all that happens.
    #[arg(long)]
    show: bool,
    /// One history, from a scene in this folder.
    #[arg(long, hide = true)]
    scene: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        if let Some(folder) = &self.scene {
            return self.run_one(folder);
        }
        let folder = Folder::new();
        if self.faults {
            return self.find_faults(&folder.0);
        }
        match self.run_many(&folder.0, self.fault) {
            None => {
                println!("{} histories of {} steps: every promise was kept", self.seeds, self.steps);
                ExitCode::SUCCESS
            }
            Some(Broken { seed, words }) => {
                println!("{words}cargo xtask simulate --seeds 1 --seed {seed} --show shows it again");
                ExitCode::FAILURE
            }
        }
    }

    /// Runs histories until all are done, or one breaks a promise; answers which.
    fn run_many(&self, folder: &Path, fault: Option<Fault>) -> Option<Broken> {
        let (next, broken) = (AtomicU64::new(self.seed), Mutex::new(None));
        let end = self.seed.saturating_add(self.seeds);
        let run = || {
            while lock(&broken).is_none() {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if end <= seed {
                    return;
                }
                let output = self.child(folder, seed, fault);
                if output.status.success() {
                    self.tell(seed + 1 - self.seed, &output);
                    continue;
                }
                let words =
                    [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
                let words = words.concat();
                let mut broken = lock(&broken);
                if broken.as_ref().is_none_or(|broken: &Broken| seed < broken.seed) {
                    *broken = Some(Broken { seed, words });
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(run);
            }
        });
        lock(&broken).take()
    }

    /// Says how far it has come, or what a history that is shown was.
    fn tell(&self, count: u64, output: &Output) {
        if self.show || self.seeds == 1 {
            print!("{}", String::from_utf8_lossy(&output.stdout));
        } else if count.is_multiple_of(100) && !self.faults {
            eprintln!("{count} histories");
        }
    }

    fn find_faults(&self, folder: &Path) -> ExitCode {
        let mut is_found = true;
        println!("| fault | histories until it is found | the promise that it breaks |\n|---|---|---|");
        for fault in Fault::value_variants() {
            let broken = self.run_many(folder, Some(*fault));
            is_found &= broken.is_some();
            let (count, words) = match &broken {
                Some(Broken { seed, words }) => ((seed + 1 - self.seed).to_string(), promise_in(words)),
                None => ("never".to_owned(), ""),
            };
            println!("| {} | {count} | {words} |", name(*fault));
        }
        if is_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn child(&self, folder: &Path, seed: u64, fault: Option<Fault>) -> Output {
        let program = std::env::current_exe().expect("this program has a file");
        let mut command = Command::new(program);
        command.arg("--scene").arg(folder).args(["--seed", &seed.to_string()]);
        command.args(["--steps", &self.steps.to_string()]);
        if let Some(fault) = fault {
            command.args(["--fault", &name(fault)]);
        }
        if self.show {
            command.arg("--show");
        }
        command.output().expect("this program can be started")
    }

    /// One history.
    fn run_one(&self, folder: &Path) -> ExitCode {
        chance::begin(self.seed);
        // A task that panics ends alone: that is noticed here.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            HAS_PANICKED.store(true, Ordering::Relaxed);
            usual(panic);
        }));
        let (seed, steps, fault, is_shown) = (self.seed, self.steps, self.fault, self.show);
        let own = folder.join(format!("history-{seed}"));
        std::fs::create_dir_all(&own).expect("the folder can be written");
        let (of_scene, own_folder) = (folder.to_owned(), own.clone());
        // A thread of its own: what the standard library draws for one is drawn when it begins.
        let history = std::thread::spawn(move || {
            let file = of_scene.join(STORE);
            let scene = Scene::find(&of_scene);
            let mut world = World::new((&scene, &file, &own_folder), seed, fault, is_shown);
            for _ in 0..steps {
                world.take_step();
            }
            let stored = world.end();
            let events: usize = stored.events.iter().map(Vec::len).sum();
            let records = lock(&world.ground.stream).records.len();
            let counts = world.history.counts.clone();
            let digest = world.history.digest();
            println!("seed {seed} digest {digest:016x} events {events} records {records} {counts:?}");
            check(&world, &stored)
        })
        .join();
        // What is left behind takes memory, and nobody asks whether it could be deleted.
        let _ = std::fs::remove_dir_all(&own);
        match history {
            Ok(Ok(())) if !HAS_PANICKED.load(Ordering::Relaxed) => ExitCode::SUCCESS,
            Ok(Err(violation)) => {
                println!("seed {seed}: {violation}");
                ExitCode::from(BROKEN)
            }
            Ok(Ok(())) | Err(_) => {
                println!("seed {seed}: something panicked");
                ExitCode::FAILURE
            }
        }
    }
}

/// The promise that was broken, by what was said of it.
fn promise_in(words: &str) -> &str {
    words.lines().last().and_then(|line| line.split(": ").nth(1)).unwrap_or_default()
}

/// A fault, as the command line names it.
fn name(fault: Fault) -> String {
    fault.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Where histories have their files: in memory, where there is such a place, because a flush is none of this one's
/// business. Deleted at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = base.join(format!("carillon-simulation-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
        Scene::make(&folder);
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
