//! The dashboard as HTML.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::traffic::Second;
use super::charts::chart;
use crate::domain::access::Right;
use crate::domain::events::{Cause, Event};
use crate::domain::message::Role;
use crate::roles::orchestrator::control::Scale;
use crate::roles::orchestrator::status::{Life, WorkerStatus};

/// The newest events that are shown.
const EVENTS: usize = 20;

/// What is shown.
pub(super) struct View {
    pub(super) unready: Vec<&'static str>,
    pub(super) workers: Vec<WorkerStatus>,
    pub(super) scale: Scale,
    /// Who is still to be renewed.
    pub(super) renewing: usize,
    pub(super) events: Vec<Event>,
    pub(super) seconds: Vec<Second>,
}

/// A whole page.
fn page(body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Rideshare" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/dashboard/style.css";
                script src="/dashboard/live.js" defer {}
            }
            body { (body) }
        }
    }
}

/// Asks for a token.
pub(super) fn login(message: Option<&str>) -> String {
    let body = html! {
        main {
            h1 { "Rideshare" }
            section {
                h2 { "Sign in" }
                @if let Some(message) = message { p.bad role="alert" { (message) } }
                form method="post" action="/dashboard/session" {
                    label {
                        "Token"
                        input type="password" name="token" required autocomplete="current-password" autofocus;
                    }
                    button { "Sign in" }
                }
                p.faint { "An application's token shows the dashboard, an administrator's steers the system, too." }
            }
        }
    };
    page(&body).into_string()
}

/// The dashboard for one who may do so much. `notice` is what became of the last order.
pub(super) fn dashboard(view: &View, right: Right, is_open: bool, notice: Option<&str>) -> String {
    let body = html! {
        a.skip href="#live" { "Skip to the state of the system" }
        header {
            h1 { "Rideshare" }
            @if !is_open {
                form method="post" action="/dashboard/session/end" { button { "Sign out" } }
            }
        }
        main {
            @if let Some(notice) = notice { p role="status" { (notice) } }
            p.bad #lost role="status" hidden { "The connection is lost; what is shown is no longer new." }
            div #live { (live(view)) }
            @if right == Right::Administer { (actions(view)) }
        }
    };
    page(&body).into_string()
}

/// What changes from one second to the next.
pub(super) fn live(view: &View) -> Markup {
    html! {
        (summary(view))
        (workers(&view.workers))
        div.charts { (charts(&view.seconds)) }
        (events(&view.events))
    }
}

fn summary(view: &View) -> Markup {
    let scale = &view.scale;
    html! {
        section aria-label="Summary" {
            @if view.unready.is_empty() {
                span.good { "Ready" }
            } @else {
                span.bad { "Not ready: " (view.unready.join("; ")) }
            }
            " · " (scale.slaves) @if scale.slaves == 1 { " slave wanted, " } @else { " slaves wanted, " }
            @if scale.manual { "by hand" } @else { "by the reads" }
            @if scale.paused { " · " span.bad { "Paused: nothing is healed" } }
            @if view.renewing > 0 { " · " (view.renewing) " workers are still to be renewed" }
        }
    }
}

/// A table in a part of the page of its own, scrolled sideways where it is too wide. Columns of
/// numbers stand at the right.
fn table(id: &str, title: &str, columns: &[(&str, bool)], rows: &Markup) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (title) }
            div.scroll role="region" aria-labelledby=(id) tabindex="0" {
                table {
                    thead {
                        tr {
                            @for (column, is_number) in columns {
                                th.number[*is_number] scope="col" { (column) }
                            }
                        }
                    }
                    tbody { (rows) }
                }
            }
        }
    }
}

fn workers(workers: &[WorkerStatus]) -> Markup {
    let columns = [
        ("Worker", false),
        ("Role", false),
        ("State", false),
        ("Pid", true),
        ("Epoch", true),
        ("Applied", true),
        ("Lag", true),
        ("Uptime", true),
    ];
    let rows = html! { @for worker in workers { (row(worker)) } };
    table("workers", "Workers", &columns, &rows)
}

fn row(worker: &WorkerStatus) -> Markup {
    let role = worker.role.map_or("unknown", Role::as_str);
    let runs = worker.state == Life::Running;
    html! {
        tr {
            th scope="row" { (worker.node) }
            td.master[worker.role == Some(Role::Master)] { @if runs { (role) } @else { "–" } }
            td.bad[!runs] { @if runs { "running" } @else { "exited" } }
            td.number { (or_none(worker.pid)) }
            td.number { (worker.epoch) }
            td.number { (or_none(worker.applied)) }
            td.number { (or_none(worker.lag)) }
            td.number { (or_none(worker.uptime_ms.map(duration))) }
        }
    }
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or("–".to_owned(), |value| value.to_string())
}

fn duration(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

fn charts(seconds: &[Second]) -> Markup {
    let of = |value: fn(&Second) -> f64| seconds.iter().map(value).collect::<Vec<_>>();
    let now = seconds.last().copied().unwrap_or_default();
    let requests = chart(&[of(|it| it.requests as f64), of(|it| it.failures as f64)]);
    let latency = chart(&[of(|it| it.p50_ms), of(|it| it.p99_ms)]);
    html! {
        figure {
            h2 { "Reads and writes a second" }
            div aria-hidden="true" { (PreEscaped(requests)) }
            figcaption {
                span.first { "requests" } " " (now.requests) ", " span.second { "failed" } " " (now.failures)
            }
        }
        figure {
            h2 { "Time to an answer, in milliseconds" }
            div aria-hidden="true" { (PreEscaped(latency)) }
            figcaption {
                span.first { "median" } (format!(" {:.1}, ", now.p50_ms))
                span.second { "99th percentile" } (format!(" {:.1}", now.p99_ms))
            }
        }
    }
}

fn events(events: &[Event]) -> Markup {
    let columns = [
        ("When", false),
        ("What", false),
        ("Worker", false),
        ("Why", false),
        ("Took", true),
        ("Epoch", true),
    ];
    let rows = html! {
        @for event in events.iter().rev().take(EVENTS) {
            tr {
                td { (when(event.at_ms)) }
                td { (event.kind.as_str().replace('_', " ")) }
                td { (or_none(event.node.as_ref())) }
                td { (why(&event.cause)) }
                td.number { (or_none(event.took_ms.map(|ms| format!("{ms} ms")))) }
                td.number { (or_none(event.to_epoch)) }
            }
        }
    };
    table("events", "What happened", &columns, &rows)
}

fn when(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

fn why(cause: &Cause) -> String {
    match cause {
        Cause::Asked => "asked for".to_owned(),
        Cause::Wanted => "wanted number".to_owned(),
        Cause::NoMaster => "no master".to_owned(),
        Cause::Exited => "had exited".to_owned(),
        Cause::Suspected => "suspected".to_owned(),
        Cause::Reads(reads) => format!("{reads} reads"),
    }
}

fn actions(view: &View) -> Markup {
    let button = |order: &str, text: &str| {
        html! {
            form method="post" action="/dashboard/order" {
                input type="hidden" name="order" value=(order);
                button { (text) }
            }
        }
    };
    let kill = |order: &str, text: &str, question: &str| {
        html! {
            form method="post" action="/dashboard/order" data-confirm=(question) {
                input type="hidden" name="order" value=(order);
                button.danger { (text) }
            }
        }
    };
    html! {
        section aria-labelledby="orders" {
            h2 #orders { "Orders" }
            div.actions {
                form method="post" action="/dashboard/order" {
                    input type="hidden" name="order" value="scale";
                    label {
                        "Slaves"
                        input type="number" name="slaves" required value=(view.scale.slaves)
                            min=(view.scale.bounds.0) max=(view.scale.bounds.1);
                    }
                    button { "Set" }
                }
                (button("auto", "Scale by the reads"))
                (button("switchover", "Switch over"))
                (button("restart", "Renew all workers"))
                @if view.scale.paused { (button("resume", "Resume")) } @else { (button("pause", "Pause")) }
                (kill("crash-master", "Crash the master", "Kill the master and its database?"))
                (kill("crash-slave", "Crash a slave", "Kill a slave and its database?"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_the_unit_that_fits() {
        for (ms, text) in [
            (0, "0 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn nothing_that_was_sent_is_taken_for_markup() {
        let text = login(Some("<script>"));
        assert!(text.contains("&lt;script&gt;") && !text.contains("<script>"), "{text}");
    }
}
