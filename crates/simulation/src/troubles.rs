//! What goes wrong: nodes that stop, die and come back, power that fails, disks that fail or are full, a bus that
//! loses, doubles, delays and turns round what it is given, a stream that takes nothing.

use carillon_store::by_hand::Disk;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use crate::fault::Fault;
use crate::ground::{NODES, lock};
use crate::world::World;

/// How long a node is stopped at most: longer than any lease.
const REST_MS: i64 = 13_000;
const LOST: f64 = 0.08;
const DOUBLED: f64 = 0.08;

impl World {
    /// Something goes wrong, or is well again.
    pub(crate) fn trouble(&mut self) {
        let number = self.random.random_range(0..NODES);
        match self.random.random_range(0..100) {
            0..22 => {
                let until = self.now_ms() + self.random.random_range(300..REST_MS);
                self.seats[number].rests_until_ms = until;
                self.note("pause", &format!("{number} until {until}"));
            }
            22..30 => self.seats[number].rests_until_ms = 0,
            30..40 => self.kill(number),
            40..62 => self.start_somebody(),
            62..66 => self.cut_power(),
            66..74 => self.trouble_disk(number),
            74..84 => self.mend_disks(),
            84..88 => lock(&self.ground.stream).is_away = true,
            88..95 => lock(&self.ground.stream).is_away = false,
            _ => {
                if let Some(node) = &self.seats[number].node {
                    node.checkpoint();
                }
            }
        }
        if self.has(Fault::LosesRecords) || self.has(Fault::SwapsRecords) {
            let is_now = self.chance(0.2);
            let mut stream = lock(&self.ground.stream);
            stream.loses = is_now && self.has(Fault::LosesRecords);
            stream.swaps = is_now && self.has(Fault::SwapsRecords);
        }
    }

    fn start_somebody(&mut self) {
        let dead: Vec<usize> = (0..NODES).filter(|number| self.seats[*number].node.is_none()).collect();
        if let Some(number) = dead.choose(&mut self.random) {
            self.start(*number);
        }
    }

    fn trouble_disk(&mut self, number: usize) {
        let disk = if self.chance(0.5) { Disk::Failing } else { Disk::Full };
        if let Some(node) = &mut self.seats[number].node {
            node.set_disk(disk);
            self.note("disk", &format!("{number} {disk:?}"));
        }
    }

    pub(crate) fn mend_disks(&mut self) {
        for seat in &mut self.seats {
            if let Some(node) = &mut seat.node {
                node.set_disk(Disk::Well);
            }
        }
        self.note("disk", "well");
    }

    /// The bus brings something, in no order.
    pub(crate) fn bring_news(&mut self) {
        for _ in 0..self.random.random_range(1..4) {
            let count = lock(&self.ground.post).waiting.len();
            if count == 0 {
                return;
            }
            let at = self.random.random_range(0..count);
            let (to, news) = lock(&self.ground.post).waiting.swap_remove(at);
            if self.chance(LOST) {
                continue;
            }
            if self.chance(DOUBLED) {
                lock(&self.ground.post).waiting.push((to, news.clone()));
            }
            match &self.seats[to].node {
                // One that does nothing finds it waiting.
                Some(_) if !self.awake().contains(&to) => lock(&self.ground.post).waiting.push((to, news)),
                Some(node) => node.hear(to, &news),
                None => {}
            }
        }
    }
}
