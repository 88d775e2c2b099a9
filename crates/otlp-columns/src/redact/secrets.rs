//! Values that free text gives a telling name: `password=…`, `"token": "…"`, `(phone)=(…)`,
//! `<password>…</password>`.

use super::REDACTED;

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What follows is a secret, whatever it looks like.
    Secret,
    /// The same, and the word after it: `Authorization: ApiKey …`.
    Scheme,
    /// The same, to the end of the line.
    Line,
    /// Prose is common after a colon (`unexpected token: end of file`, `phone: busy`): there only what
    /// looks like a value is taken for one.
    OftenProse,
    /// A person's: of several words, when it is not in Latin letters.
    Person,
}

/// Names, in lower case, with what they mean; what precedes them in a longer name (`client_`, `x-`,
/// `customer`) does not matter, but for those of up to [`SHORT_BYTES_MAX`] bytes.
#[rustfmt::skip]
const NAMES: &[(&str, Kind)] = &[
    ("password", Kind::Secret), ("passwd", Kind::Secret), ("pwd", Kind::Secret),
    ("pass", Kind::Secret), ("passphrase", Kind::Secret), ("secret", Kind::Secret),
    ("apikey", Kind::Secret), ("api_key", Kind::Secret), ("api-key", Kind::Secret),
    ("api.key", Kind::Secret),
    ("accesskey", Kind::Secret), ("access_key", Kind::Secret), ("access-key", Kind::Secret),
    ("secretkey", Kind::Secret), ("secret_key", Kind::Secret), ("secret-key", Kind::Secret),
    ("privatekey", Kind::Secret), ("private_key", Kind::Secret), ("private-key", Kind::Secret),
    ("accountkey", Kind::Secret), ("account_key", Kind::Secret),
    ("cvv", Kind::Secret), ("cvc", Kind::Secret), ("pin", Kind::OftenProse), ("otp", Kind::Secret),
    ("пароль", Kind::Secret), ("Пароль", Kind::Secret), ("ПАРОЛЬ", Kind::Secret),
    ("authorization", Kind::Scheme),
    ("cookie", Kind::Line),
    ("token", Kind::OftenProse), ("credential", Kind::OftenProse),
    ("credentials", Kind::OftenProse),
    ("phone", Kind::OftenProse), ("phone_number", Kind::OftenProse),
    ("phonenumber", Kind::OftenProse), ("mobile", Kind::OftenProse), ("tel", Kind::OftenProse),
    ("msisdn", Kind::OftenProse), ("iban", Kind::OftenProse), ("card_number", Kind::OftenProse),
    ("cardnumber", Kind::OftenProse), ("passport", Kind::OftenProse),
    ("телефон", Kind::OftenProse), ("Телефон", Kind::OftenProse), ("ТЕЛЕФОН", Kind::OftenProse),
    ("full_name", Kind::Person), ("fullname", Kind::Person), ("first_name", Kind::Person),
    ("firstname", Kind::Person), ("last_name", Kind::Person), ("lastname", Kind::Person),
    ("middle_name", Kind::Person), ("surname", Kind::Person), ("patronymic", Kind::Person),
    ("customer_name", Kind::Person), ("client_name", Kind::Person), ("recipient", Kind::Person),
    ("birth_date", Kind::Person), ("birthdate", Kind::Person), ("birthday", Kind::Person),
    ("fio", Kind::Person), ("фио", Kind::Person), ("ФИО", Kind::Person),
    ("фамилия", Kind::Person), ("Фамилия", Kind::Person),
    ("street", Kind::Person), ("postal_address", Kind::Person), ("delivery_address", Kind::Person),
    ("shipping_address", Kind::Person),
];
/// Bytes of a name that is one only as a word of its own: `hotel` is no `tel`.
const SHORT_BYTES_MAX: usize = 4;
/// Quotes, brackets and blanks between a name and its sign.
const AFTER_NAME_MAX: usize = 6;
/// White space between the sign and the value.
const SPACES_MAX: usize = 8;
/// A word of prose is shorter and has no digit.
const PROSE_BYTES_MAX: usize = 20;
/// Values that say that there is none.
const NOTHING: [&[u8]; 6] = [b"null", b"none", b"nil", b"undefined", b"true", b"false"];

/// A telling name, and whether it stands in a tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    kind: Kind,
    in_tag: bool,
}

/// The value whose name stands before the `=`, `:` or `>` at `at`. Nothing before `from` is looked at.
pub(super) fn secret(bytes: &[u8], from: usize, at: usize) -> Option<(usize, usize)> {
    let Named { kind, in_tag } = name_before(&bytes[from..at])?;
    if (bytes[at] == b'>') != in_tag {
        return None;
    }
    let signs = bytes[at..].iter().take_while(|byte| b"=:>".contains(byte)).count();
    let after = at + signs;
    let spaces = bytes[after..].iter().take(SPACES_MAX);
    let spaces = spaces.take_while(|byte| byte.is_ascii_whitespace()).count();
    let begin = after + spaces;
    let (start, is_marked, end) = match opening(&bytes[begin..]) {
        _ if bytes[begin..].starts_with(REDACTED.as_bytes()) => return None,
        _ if in_tag => {
            let end = begin + bytes_until(&bytes[begin..], b"<");
            // A type's parameter is never closed.
            bytes.get(end)?;
            (begin, true, end)
        }
        Some((skipped, mark)) => {
            let start = begin + skipped;
            (start, true, start + marked_bytes(&bytes[start..], mark))
        }
        None => (begin, false, begin + bare_bytes(&bytes[begin..], kind)),
    };
    let value = &bytes[start..end];
    let is_nothing = value.is_empty()
        || NOTHING.iter().any(|nothing| value.eq_ignore_ascii_case(nothing))
        || value.starts_with(REDACTED.as_bytes());
    let may_be_prose = bytes[at] == b':'
        && spaces > 0
        && !is_marked
        && matches!(kind, Kind::OftenProse | Kind::Person);
    let is_prose = may_be_prose
        && value.len() < PROSE_BYTES_MAX
        && value.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_digit());
    (!is_nothing && !is_prose).then_some((start, end))
}

/// The telling name at the end of a text, which may be quoted or in brackets.
pub(super) fn name_before(before: &[u8]) -> Option<Named> {
    let is_between = |byte: &&u8| b" \t\"'`\\)]".contains(byte);
    let skipped = before.iter().rev().take(AFTER_NAME_MAX).take_while(is_between).count();
    let named = &before[..before.len() - skipped];
    // Nearly all signs stand after something else.
    if !ENDS[usize::from(*named.last()?)] {
        return None;
    }
    let (length, kind) = NAMES.iter().find_map(|(name, kind)| {
        let start = named.len().checked_sub(name.len())?;
        let is_word = name.len() > SHORT_BYTES_MAX
            || start.checked_sub(1).is_none_or(|at| !named[at].is_ascii_alphanumeric());
        let is_it = is_word && named[start..].eq_ignore_ascii_case(name.as_bytes());
        is_it.then_some((name.len(), *kind))
    })?;
    let in_tag = skipped == 0 && named[..named.len() - length].ends_with(b"<");
    Some(Named { kind, in_tag })
}

/// The last bytes of names.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let mut index = 0;
    while index < NAMES.len() {
        let name = NAMES[index].0.as_bytes();
        let last = name[name.len() - 1];
        ends[last as usize] = true;
        ends[last.to_ascii_uppercase() as usize] = true;
        index += 1;
    }
    ends
};

/// What a value stands in.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Quote(u8),
    /// Quoted within a quoted text, as JSON within JSON.
    EscapedQuote(u8),
    Bracket,
}

/// What a value begins with, and how many bytes that takes.
fn opening(bytes: &[u8]) -> Option<(usize, Mark)> {
    match bytes {
        [b'\\', quote @ (b'"' | b'\''), ..] => Some((2, Mark::EscapedQuote(*quote))),
        [quote @ (b'"' | b'\''), ..] => Some((1, Mark::Quote(*quote))),
        [b'(', ..] => Some((1, Mark::Bracket)),
        _ => None,
    }
}

/// Bytes until what closes the mark, or all.
fn marked_bytes(bytes: &[u8], mark: Mark) -> usize {
    let quote = match mark {
        Mark::Bracket => return bytes_until(bytes, b")"),
        Mark::EscapedQuote(quote) => {
            let closing = [b'\\', quote];
            return bytes.windows(2).position(|two| two == closing).unwrap_or(bytes.len());
        }
        Mark::Quote(quote) => quote,
    };
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' => at += 1,
            // As SQL doubles it.
            b'\'' if quote == b'\'' && bytes.get(at + 1) == Some(&quote) => at += 1,
            byte if byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Bytes of a value that stands in nothing.
fn bare_bytes(bytes: &[u8], kind: Kind) -> usize {
    const ENDS: &[u8] = b",;&)}]\"'<>|\\\r\n";
    let word = || bytes_until(bytes, b",;&)}]\"'<>|\\ \t\r\n");
    match kind {
        Kind::Line => bytes_until(bytes, b"\"\r\n"),
        Kind::Person if bytes.first().is_some_and(|byte| !byte.is_ascii()) => {
            bytes_until(bytes, ENDS)
        }
        Kind::Scheme => {
            let scheme = word();
            let is_scheme = bytes[..scheme].iter().all(u8::is_ascii_alphabetic);
            match bytes.get(scheme) {
                Some(b' ') if is_scheme => {
                    scheme + 1 + bytes_until(&bytes[scheme + 1..], b",;&)}]\"'<>|\\ \t\r\n")
                }
                _ => scheme,
            }
        }
        _ => word(),
    }
}

fn bytes_until(bytes: &[u8], ends: &[u8]) -> usize {
    bytes.iter().take_while(|byte| !ends.contains(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::super::built_in::{BuiltIn, Rules};
    use super::super::free_text::scrub;

    #[test]
    fn values_with_a_telling_name_are_replaced() {
        for (text, expected) in [
            ("password=hunter2", "password=[redacted]"),
            ("User Id=sa;Password=pw;Timeout=1", "User Id=sa;Password=[redacted];Timeout=1"),
            ("/cb?code=1&access_token=ab.c&x=1", "/cb?code=1&access_token=[redacted]&x=1"),
            (r#"{"login":"a","password":"x y"}"#, r#"{"login":"a","password":"[redacted]"}"#),
            (r#"{"password": "a\"b", "x": 1}"#, r#"{"password": "[redacted]", "x": 1}"#),
            (r#"{\"password\":\"x\",\"y\":1}"#, r#"{\"password\":\"[redacted]\",\"y\":1}"#),
            ("client_secret: abc", "client_secret: [redacted]"),
            ("'api_key' => 'k1'", "'api_key' => '[redacted]'"),
            ("X-API-Key: k1", "X-API-Key: [redacted]"),
            ("secretKey=k accessKey: l", "secretKey=[redacted] accessKey: [redacted]"),
            ("pass=x Password:\tx", "pass=[redacted] Password:\t[redacted]"),
            ("password='it''s' x", "password='[redacted]' x"),
            ("token=abc", "token=[redacted]"),
            ("token: abc1 refused", "token: [redacted] refused"),
            ("token:abc", "token:[redacted]"),
            ("authorization: Bearer abc refused", "authorization: [redacted] refused"),
            ("Authorization: ApiKey abc", "Authorization: [redacted]"),
            ("authorization=abc1 refused", "authorization=[redacted] refused"),
            ("Cookie: sid=a; x=b\nnext", "Cookie: [redacted]\nnext"),
            ("<password>a b</password>", "<password>[redacted]</password>"),
            ("пароль: кот", "пароль: [redacted]"),
            ("ПАРОЛЬ=кот", "ПАРОЛЬ=[redacted]"),
            ("cvv=123", "cvv=[redacted]"),
            ("password='never closed", "password='[redacted]"),
            ("PASSWORD=a,password=b", "PASSWORD=[redacted],password=[redacted]"),
            ("Key (phone)=(89161234567) already exists", "Key (phone)=([redacted]) already exists"),
            ("Key (full_name)=(Иван Петров) is", "Key (full_name)=([redacted]) is"),
            (r#"{"phone":"89161234567"}"#, r#"{"phone":"[redacted]"}"#),
            ("customerPhone: 89161234567", "customerPhone: [redacted]"),
            ("фио: Иван Петров, x", "фио: [redacted], x"),
            ("last_name=Petrov x", "last_name=[redacted] x"),
        ] {
            let scrubbed = scrub(text, Rules::ALL);
            assert_eq!(scrubbed.as_deref(), Some(expected), "{text}");
            assert_eq!(scrub(expected, Rules::ALL), None, "twice: {text}");
        }
    }

    #[test]
    fn what_is_no_such_value_stays() {
        for text in [
            "unexpected token: end of file",
            "invalid credentials: try again",
            "phone: busy",
            "token=null",
            "password=",
            "password:",
            "password: ",
            "max_tokens=5",
            "password_reset=1",
            "the password is wrong",
            "monkey: 5",
            "turnkey=yes",
            "hotel=5 spin=1 bypass=1",
            "a<token>b",
            "Map<String, Token>=x",
            "token>5",
            "12:30:01",
            "=",
            ":",
            "=password",
        ] {
            assert_eq!(scrub(text, Rules::ALL), None, "{text}");
        }
        let off = Rules::ALL.without(Rules::only(BuiltIn::Secret));
        assert_eq!(scrub("password=hunter2", off), None);
        assert!(scrub("password=hunter2", Rules::only(BuiltIn::Secret)).is_some());
    }
}
