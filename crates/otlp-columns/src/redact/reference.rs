//! The searches of redaction without their fast scans, as an oracle for them.

use proptest::prelude::*;

use super::built_in::Rules;
use super::sql::{
    comment_bytes, dollar_quoted_bytes, double_quoted_bytes, drop_prefix, quoted_bytes,
};
use super::{free_text, sql, url};

fn cut_sql(sql: &str) -> Option<String> {
    let mut out = String::with_capacity(sql.len());
    let mut changed = false;
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let in_word =
            out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
        let literal = match first {
            '\'' => Some(quoted_bytes(rest, b'\'')),
            '"' => double_quoted_bytes(rest, &out),
            '$' if !in_word => dollar_quoted_bytes(rest),
            '0'..='9' if !in_word => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '.').or(Some(rest.len()))
            }
            _ => None,
        };
        if let Some(bytes) = literal {
            if first == '\'' {
                drop_prefix(&mut out);
            }
            out.push('?');
            changed = true;
            rest = &rest[bytes..];
        } else if let Some(bytes) = comment_bytes(rest) {
            out.push(' ');
            changed = true;
            rest = &rest[bytes..];
        } else {
            // A name in double quotes is taken as a whole: digits in it are no numbers.
            let bytes = if first == '"' { quoted_bytes(rest, b'"') } else { first.len_utf8() };
            out.push_str(&rest[..bytes]);
            rest = &rest[bytes..];
        }
    }
    changed.then_some(out)
}

/// Walks through every text, for every rule.
fn scrub(text: &str) -> Option<String> {
    let sql = sql::cut_sql_within(text);
    let cut = url::cut_urls_within(sql.as_deref().unwrap_or(text)).or(sql);
    free_text::walk(cut.as_deref().unwrap_or(text), Rules::ALL).or(cut)
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "://",
            ":",
            "//",
            "'",
            "\"",
            "$",
            "$t$",
            "--",
            "/*",
            "*/",
            "-",
            "/",
            "\\",
            "\n",
            "?",
            "@",
            "Bearer ",
            "bEARER ",
            "basic ",
            "BASIC",
            "eyJ",
            "J",
            " ",
            "values",
            "in (",
            "=",
            "N'",
            "é",
            "1",
            "a1",
            "123456789",
            "+7",
            "(900) ",
            "0000000",
            "4111 1111 ",
            "1111",
            "%40",
            "a@b.ru",
            "X-Amz-Signature",
            ".x",
            "я",
            "token",
            "pwd=",
            "password",
            "insert into ",
            "<",
            ">",
            ": ",
        ])
        .prop_map(str::to_owned),
        "[a-z0-9A-Z ]{1,3}",
    ];
    prop::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn fast_scans_change_nothing(text in text()) {
        prop_assert_eq!(sql::cut_sql(&text), cut_sql(&text));
        prop_assert_eq!(free_text::scrub(&text, Rules::ALL), scrub(&text));
        prop_assert_eq!(url::find_scheme_end(&text), text.find("://"));
    }
}
