//! Servers on a ring, each at many points: a hash leads to the nearest one, so that a server that
//! comes or goes moves no other server's clients.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::hash::mix;

/// Points of a server per unit of weight.
const POINTS_PER_WEIGHT: u32 = 16;

/// Where a point lies, and which came there first.
type Place = (u32, u32);

/// The points of one group (all that are no backups, or all backups).
#[derive(Debug)]
pub(super) struct Ring {
    points: BTreeMap<Place, u32>,
    nodes: Vec<Node>,
    arrivals: u32,
    /// What a weight of 1 counts as in the weights that it is told.
    scale: u32,
    /// The point that was last in turn.
    turn: Option<Place>,
}

#[derive(Debug, Default)]
struct Node {
    /// From where its points are counted.
    key: u32,
    places: Vec<Place>,
    /// The most points it ever had or was to have.
    most: u32,
}

impl Ring {
    /// An empty ring for servers with these keys.
    pub(super) fn new(keys: impl Iterator<Item = u32>) -> Self {
        let node = |key| Node {
            key,
            places: Vec::new(),
            most: 0,
        };
        Self {
            points: BTreeMap::new(),
            nodes: keys.map(node).collect(),
            arrivals: 0,
            scale: 1,
            turn: None,
        }
    }

    /// Says that weights to come are so many times those of the file.
    pub(super) fn set_scale(&mut self, scale: u16) {
        self.scale = u32::from(scale).max(1);
    }

    /// Gives a server as many points as `weight` is worth.
    pub(super) fn set_weight(&mut self, server: usize, weight: u16) {
        let wanted = (u32::from(weight) * POINTS_PER_WEIGHT).div_ceil(self.scale);
        let most = self.nodes[server].most;
        // More points than ever before are all laid out anew, as HAProxy does: it shows in turns.
        self.shrink(server, if wanted > most { 0 } else { wanted });
        let node = &mut self.nodes[server];
        node.most = most.max(wanted);
        let owner = u32::try_from(server).expect("a backend has fewer than 2^32 servers");
        for number in node.places.len() as u32..wanted {
            self.arrivals = self.arrivals.wrapping_add(1);
            let place = (mix(node.key.wrapping_add(number)), self.arrivals);
            node.places.push(place);
            self.points.insert(place, owner);
        }
    }

    /// Takes away a server's last points until it has so many.
    fn shrink(&mut self, server: usize, wanted: u32) {
        let places = &mut self.nodes[server].places;
        while places.len() > wanted as usize {
            let Some(place) = places.pop() else { break };
            if self.turn == Some(place) {
                // As in HAProxy: the point after it counts as having had its turn.
                let after = (Bound::Excluded(place), Bound::Unbounded);
                self.turn = self.points.range(after).next().map(|(&next, _)| next);
            }
            self.points.remove(&place);
        }
    }

    /// Moves a server's points to where `key` has them.
    pub(super) fn set_key(&mut self, server: usize, key: u32, weight: u16) {
        self.set_weight(server, 0);
        self.nodes[server].key = key;
        self.set_weight(server, weight);
    }

    /// The server nearest to `hash` that is not `passed` over, else the next one from there; the
    /// nearest again if all are.
    pub(super) fn nearest(&self, hash: u32, passed: impl Fn(usize) -> bool) -> Option<usize> {
        let after = self.points.range((hash, 0)..).next();
        let after = after.or_else(|| self.points.first_key_value())?;
        let before = self.points.range(..(*after.0)).next_back();
        let before = before.or_else(|| self.points.last_key_value())?;
        let back = hash.wrapping_sub(before.0.0);
        let ahead = after.0.0.wrapping_sub(hash);
        let (&place, &nearest) = if back <= ahead { before } else { after };
        let mut round = self
            .after(place)
            .chain(self.points.iter())
            .map(|(_, &server)| server as usize);
        let nearest = nearest as usize;
        if !passed(nearest) {
            return Some(nearest);
        }
        round.find(|&server| !passed(server)).or(Some(nearest))
    }

    /// The server of the point after the last one in turn. Servers that are `full` are passed
    /// over, and `avoid` unless it is alone.
    pub(super) fn next_in_turn(
        &mut self,
        avoid: Option<usize>,
        full: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        // Before the first turn: as if the last point had been it.
        let turn = self.turn.unwrap_or((u32::MAX, u32::MAX));
        let ahead = self.points.range((Bound::Excluded(turn), Bound::Unbounded));
        let ahead = ahead.chain(self.points.range(..=turn));
        let mut avoided = None;
        for (&place, &server) in ahead {
            let server = server as usize;
            if full(server) {
                continue;
            }
            if avoid != Some(server) {
                self.turn = Some(place);
                return Some(server);
            }
            avoided = Some((place, server));
        }
        let (place, server) = avoided?;
        self.turn = Some(place);
        Some(server)
    }

    fn after(&self, place: Place) -> impl Iterator<Item = (&Place, &u32)> {
        self.points
            .range((Bound::Excluded(place), Bound::Unbounded))
    }
}
