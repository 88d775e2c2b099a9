//! Alertmanager's configuration: one file with production values, printed with others.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use daemon::settings::duration;
use reqwest::Url;

/// The file with production values.
const PRODUCTION: &str = include_str!("../alertmanager.yml");
/// Marks a line whose value may be given.
const VALUE_MARK: &str = " #: ";
/// Marks a line that stands only when a value is given.
const OPTION_MARK: &str = " #? ";

/// What may be given in place of the production values.
#[derive(Debug, Clone, Default, Args)]
pub struct RoutingSettings {
    /// Where alerts go: tracker-ui's `/api/v1/alerts/webhook`.
    #[arg(long, value_name = "URL")]
    pub webhook_url: Option<Url>,
    /// A file that holds the bearer token of the webhook; without it, none is sent.
    #[arg(long, value_name = "PATH")]
    pub credentials_file: Option<PathBuf>,
    /// A webhook that pages on-call; without it, that receiver calls nobody.
    #[arg(long, value_name = "URL")]
    pub on_call_url: Option<Url>,
    /// A webhook for warnings; without it, that receiver calls nobody.
    #[arg(long, value_name = "URL")]
    pub day_shift_url: Option<Url>,
    /// A dead man's switch that hears of `Watchdog`; without it, nobody does.
    #[arg(long, value_name = "URL")]
    pub watchdog_url: Option<Url>,
    /// How long the first page of a group waits for company.
    #[arg(long, value_parser = duration)]
    pub group_wait: Option<Duration>,
    /// How long the first warning of a group waits for company.
    #[arg(long, value_parser = duration)]
    pub warning_wait: Option<Duration>,
    /// How soon a group tells of a change.
    #[arg(long, value_parser = duration)]
    pub group_interval: Option<Duration>,
    /// When an open page is repeated.
    #[arg(long, value_parser = duration)]
    pub repeat_interval: Option<Duration>,
}

/// The configuration with these values; what is not given keeps its production value, but for
/// the token, which is left out.
#[must_use]
pub fn render(settings: &RoutingSettings) -> String {
    let time = |time: Option<Duration>| time.map(|time| format!("{}ms", time.as_millis()));
    let url = |url: Option<&Url>| url.map(|url| quoted(url.as_str()));
    let path = settings.credentials_file.as_ref().map(|path| quoted(&path.display().to_string()));
    let given = |name: &str| match name {
        "webhook-url" => url(settings.webhook_url.as_ref()),
        "credentials-file" => path.clone(),
        "on-call-url" => url(settings.on_call_url.as_ref()),
        "day-shift-url" => url(settings.day_shift_url.as_ref()),
        "watchdog-url" => url(settings.watchdog_url.as_ref()),
        "warning-wait" => time(settings.warning_wait),
        "group-wait" => time(settings.group_wait),
        "group-interval" => time(settings.group_interval),
        "repeat-interval" => time(settings.repeat_interval),
        _ => None,
    };
    let mut text = String::new();
    for line in PRODUCTION.lines().filter(|line| !line.starts_with('#')) {
        let line = match line.split_once(OPTION_MARK) {
            Some((_, name)) if given(name).is_none() => continue,
            Some((line, _)) => line,
            None => line,
        };
        match line.split_once(VALUE_MARK) {
            Some((line, name)) => match (given(name), line.split_once(": ")) {
                (Some(value), Some((key, _))) => text.push_str(&format!("{key}: {value}")),
                _ => text.push_str(line),
            },
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text.trim_start().to_owned()
}

/// A single-quoted YAML scalar: nothing in it means anything but a quote, which is doubled.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_place_of_the_production_ones() {
        let settings = RoutingSettings {
            webhook_url: Some("http://127.0.0.1:1234/hook".parse().unwrap()),
            credentials_file: Some("/run/it's".into()),
            group_wait: Some(Duration::from_secs(1)),
            group_interval: Some(Duration::from_millis(500)),
            on_call_url: Some("http://127.0.0.1:1235/pages".parse().unwrap()),
            warning_wait: Some(Duration::from_secs(2)),
            ..RoutingSettings::default()
        };
        insta::assert_snapshot!(render(&settings));
    }

    #[test]
    fn without_a_token_none_is_asked() {
        let text = render(&RoutingSettings::default());
        assert!(!text.contains("authorization"), "{text}");
        assert!(text.contains("group_wait: 10s\n"), "{text}");
        assert!(!text.contains("#: ") && !text.contains("#? "), "{text}");
    }
}
