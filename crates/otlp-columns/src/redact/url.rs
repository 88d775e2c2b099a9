//! Cuts what a URL carries besides its place: credentials, query and fragment.

use memchr::{memchr, memchr_iter, memchr2};

/// Where `://` stands in the text. Most texts have no colon at all.
pub(super) fn find_scheme_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr_iter(b':', bytes).find(|at| bytes[at + 1..].starts_with(b"//"))
}

/// Cuts credentials, query and fragment of a URL; `None` when there are none.
pub(crate) fn cut_url(url: &str) -> Option<String> {
    let path_end = memchr2(b'?', b'#', url.as_bytes()).unwrap_or(url.len());
    let kept = &url[..path_end];
    let authority = find_scheme_end(kept).map(|at| at + 3);
    let credentials = authority.and_then(|start| {
        let end = kept[start..].find('/').map_or(kept.len(), |at| start + at);
        kept[start..end].rfind('@').map(|at| (start, start + at + 1))
    });
    match credentials {
        Some((start, end)) => Some(format!("{}{}", &kept[..start], &kept[end..])),
        None if path_end < url.len() => Some(kept.to_owned()),
        None => None,
    }
}

/// Cuts a path or the name of a span where a query begins; a `?` that no query follows
/// (`where id = ?`, `/orders/{id?}`) stays.
pub(crate) fn cut_query(text: &str) -> Option<String> {
    let begins_query = |at: &usize| {
        let after = text[at + 1..].chars().next();
        after.is_some_and(|next| next.is_alphanumeric() || matches!(next, '_' | '%' | '&' | '['))
    };
    // A text without a question mark is told by one search.
    memchr(b'?', text.as_bytes())?;
    let at = text.match_indices('?').map(|(at, _)| at).find(begins_query)?;
    Some(text[..at].to_owned())
}

/// Cuts a value that is a URL, whatever its key is called.
pub(crate) fn cut_if_url(text: &str) -> Option<String> {
    let colon = find_scheme_end(text)?;
    let scheme = &text.as_bytes()[..colon];
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.:".contains(byte);
    (!scheme.is_empty() && scheme.iter().all(is_scheme)).then(|| cut_url(text))?
}

/// Cuts every URL that stands in a free text; a URL ends at white space, a quote or a bracket, or
/// where another one follows without a blank. Each byte is looked at once, however many URLs there
/// are.
pub(crate) fn cut_urls_within(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut searched = 0;
    while let Some(at) = find_scheme_end(&text[searched..]).map(|at| searched + at) {
        let end = end_of_url(text, at + 3);
        if let Some(cut) = cut_url(&text[at..end]) {
            out.push_str(&text[copied..at]);
            out.push_str(&cut);
            copied = end;
        }
        searched = end;
    }
    (copied > 0).then(|| out + &text[copied..])
}

/// Where the URL ends whose authority begins at `start`.
fn end_of_url(text: &str, start: usize) -> usize {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ')');
    let mut in_query = false;
    for (at, c) in text[start..].char_indices() {
        in_query |= matches!(c, '?' | '#');
        let begins_another = c == ':' && !in_query && text[start + at..].starts_with("://");
        if begins_another || ends(c) {
            return start + at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_credentials_query_and_fragment() {
        for (url, expected) in [
            ("https://s3/b/m.stl?X-Amz-Signature=1", Some("https://s3/b/m.stl")),
            ("https://user:pw@host/x", Some("https://host/x")),
            ("https://user:pw@host?x=1", Some("https://host")),
            ("/path?token=1", Some("/path")),
            ("/path#frag", Some("/path")),
            ("https://host/a@b", None),
            ("/path", None),
            ("", None),
        ] {
            assert_eq!(cut_url(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn a_value_is_cut_when_it_is_a_url() {
        for (value, expected) in [
            ("https://s3/m.stl?X-Amz-Signature=1", Some("https://s3/m.stl")),
            ("amqp://guest:guest@rabbit:5672/", Some("amqp://rabbit:5672/")),
            ("jdbc:postgresql://db/shop?password=1", Some("jdbc:postgresql://db/shop")),
            ("https://shop/orders", None),
            ("is it ready? yes", None),
            ("see https://shop/?a=1", None),
            ("://?", None),
        ] {
            assert_eq!(cut_if_url(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_query_is_cut_and_a_placeholder_is_not() {
        for (text, expected) in [
            ("GET /orders?phone=7900", Some("GET /orders")),
            ("/orders?имя=1", Some("/orders")),
            ("select a from t where id = ?", None),
            ("in (?, ?)", None),
            ("/orders/{id?}", None),
            ("/a/{id?}/b?x=1", Some("/a/{id?}/b")),
            ("/orders?", None),
        ] {
            assert_eq!(cut_query(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn urls_within_a_text_are_cut_where_they_stand() {
        for (text, expected) in [
            ("GET https://s3/m?Sig=1 failed", Some("GET https://s3/m failed")),
            ("a://u:p@h/x and \"b://h/y#z\"", Some("a://h/x and \"b://h/y\"")),
            ("see https://shop/orders ok?", None),
            ("amqp://u:p@a,amqp://u:p@b", Some("amqp://a,amqp://b")),
            ("https://a/?to=https://b/#c d", Some("https://a/ d")),
            (":////", None),
        ] {
            assert_eq!(cut_urls_within(text).as_deref(), expected, "{text}");
        }
    }
}
