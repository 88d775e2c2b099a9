//! Ids in portions that a statement can carry.

/// Ids of one read, and bytes of them; more are read one chunk after the other. The store bounds a
/// statement (16 MiB in `clickhouse-embedded`).
const IDS_MAX: usize = 10_000;
const IDS_BYTES_MAX: usize = 4 << 20;

/// Ids in chunks that one statement can carry.
pub(crate) fn id_chunks<'a, 'b>(ids: &'b [&'a String]) -> Vec<&'b [&'a String]> {
    let mut chunks = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (index, id) in ids.iter().enumerate() {
        if index - begin == IDS_MAX || bytes + id.len() > IDS_BYTES_MAX {
            chunks.push(&ids[begin..index]);
            (begin, bytes) = (index, 0);
        }
        bytes += id.len();
    }
    chunks.push(&ids[begin..]);
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_in_one_chunk_and_no_chunk_is_too_large() {
        let long = "x".repeat(IDS_BYTES_MAX / 2 + 1);
        let short = "y".to_owned();
        for (ids, expected) in [
            (vec![], vec![]),
            (vec![&short; 3], vec![3]),
            (vec![&short; IDS_MAX + 1], vec![IDS_MAX, 1]),
            (vec![&long, &long, &short], vec![1, 2]),
        ] {
            let sizes: Vec<usize> = id_chunks(&ids).into_iter().map(<[_]>::len).collect();
            assert_eq!(sizes, expected);
        }
    }
}
