//! Escapes of half a character: JavaScript writes `"\ud83d"` for text that was cut inside an
//! emoji. It is no text in UTF-8, and a strict parser refuses the whole request for it.

/// Length of `\uXXXX`.
const ESCAPE_BYTES: usize = 6;

/// The JSON text with each unpaired surrogate escape made `\ufffd`, and how many there were;
/// `None` when there are none.
pub(super) fn repair(text: &str) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut repaired = 0;
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = text[at..].find('\\') {
        at += found;
        match escaped(text, at) {
            Some(0xd800..=0xdbff)
                if matches!(escaped(text, at + ESCAPE_BYTES), Some(0xdc00..=0xdfff)) =>
            {
                at += 2 * ESCAPE_BYTES;
            }
            Some(0xd800..=0xdfff) => {
                out.push_str(&text[copied..at]);
                out.push_str("\\ufffd");
                repaired += 1;
                at += ESCAPE_BYTES;
                copied = at;
            }
            Some(_) => at += ESCAPE_BYTES,
            // Another escape: its second character may be a backslash, too.
            None => at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    out.push_str(&text[copied..]);
    (repaired > 0).then_some((out, repaired))
}

/// The number of a `\uXXXX` that begins at `at`.
fn escaped(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + ESCAPE_BYTES)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_characters_are_repaired_and_whole_ones_kept() {
        for (text, expected) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""a\ude00b\ud83dc""#, Some(r#""a\ufffdb\ufffdc""#)),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d""#, None),
            (r#""\u0041\n\"""#, None),
            (r#""я\"#, None),
            (r#""\ud8"#, None),
        ] {
            assert_eq!(repair(text).map(|(text, _)| text).as_deref(), expected, "{text}");
        }
    }
}
