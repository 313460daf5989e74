//! Smooth weighted round robin.

/// The servers of one group (active or backup) and whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct RoundRobin {
    order: Vec<(usize, u16)>,
    next: usize,
}

impl RoundRobin {
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn change(&mut self, index: usize, _before: u16, after: u16) {
        self.order.retain(|&(member, _)| member != index);
        if after > 0 {
            self.order.push((index, after));
            self.order.sort_unstable();
        }
    }

    pub(crate) fn pick(&mut self, avoid: Option<usize>) -> Option<usize> {
        for _ in 0..self.order.len() {
            self.next = (self.next + 1) % self.order.len();
            let chosen = self.order[self.next].0;
            if Some(chosen) != avoid {
                return Some(chosen);
            }
        }
        self.order.first().map(|&(index, _)| index)
    }
}
