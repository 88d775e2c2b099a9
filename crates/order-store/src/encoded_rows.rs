//! Rows of one table that are finished: one behind the other, each as it travels.

use crate::row_binary::TableRow;

/// Rows in `RowBinary`, in the order in which they were added. Where each ends is known, so that
/// they can be parted between rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodedRows {
    bytes: Vec<u8>,
    /// Where each row ends in `bytes`.
    ends: Vec<usize>,
}

impl EncodedRows {
    /// The same rows, encoded.
    #[must_use]
    pub fn of<R: TableRow>(rows: &[R]) -> Self {
        let mut encoded = Self::default();
        for row in rows {
            encoded.push(|out| row.put(out));
        }
        encoded
    }

    /// Adds the row that `put` appends; `put` must leave what is there already as it is.
    pub fn push(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        put(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Makes room for so many rows and bytes more.
    pub fn reserve(&mut self, rows: usize, bytes: usize) {
        self.ends.reserve(rows);
        self.bytes.reserve(bytes);
    }

    /// Moves the rows of `other` behind these.
    pub fn append(&mut self, other: &mut Self) {
        if self.ends.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let before = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.ends.extend(other.ends.drain(..).map(|end| before + end));
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The rows, one behind the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of each row.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|row| &self.bytes[self.start(row)..self.ends[row]])
    }

    /// The rows from `first` on, until there are `bytes_min` bytes or no more rows; at least one,
    /// if there is one. Their number, and their bytes.
    pub(crate) fn take(&self, first: usize, bytes_min: usize) -> (usize, &[u8]) {
        let start = self.start(first);
        let full = start.saturating_add(bytes_min);
        let rest = &self.ends[first..];
        let rows = (rest.partition_point(|end| *end < full) + 1).min(rest.len());
        (rows, &self.bytes[start..self.start(first + rows)])
    }

    fn start(&self, row: usize) -> usize {
        if row == 0 { 0 } else { self.ends[row - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lengths: &[usize]) -> EncodedRows {
        let mut rows = EncodedRows::default();
        for length in lengths {
            rows.push(|out| out.resize(out.len() + length, 7));
        }
        rows
    }

    #[test]
    fn rows_keep_their_bounds_when_they_are_joined() {
        let mut joined = EncodedRows::default();
        for lengths in [&[3, 0, 5][..], &[], &[1]] {
            joined.append(&mut rows(lengths));
        }
        assert_eq!(joined, rows(&[3, 0, 5, 1]));
        let lengths: Vec<usize> = joined.iter().map(<[u8]>::len).collect();
        assert_eq!(lengths, [3, 0, 5, 1]);
    }

    #[test]
    fn rows_are_taken_until_there_is_enough() {
        let rows = rows(&[3, 4, 5]);
        for (first, bytes_min, expected) in
            [(0, 0, 1), (0, 3, 1), (0, 4, 2), (1, 8, 2), (0, usize::MAX, 3), (3, 9, 0)]
        {
            let (count, bytes) = rows.take(first, bytes_min);
            assert_eq!(count, expected, "{first} {bytes_min}");
            assert_eq!(bytes.len(), [3, 4, 5].iter().skip(first).take(count).sum::<usize>());
        }
    }
}
