//! The pages of the sample orders.

use crate::orders::{HOSTILE, HOUR, Order, PARTNER, STUCK, samples};
use crate::stack::Stack;

async fn stack() -> Stack {
    let stack = Stack::start(&[]).await;
    stack.insert(&samples(chrono::Utc::now().timestamp_millis())).await;
    stack
}

#[tokio::test]
async fn pages_show_what_was_inserted() {
    let stack = stack().await;
    let board = stack.page("/", 200).await;
    assert!(
        board.contains("Застряло: 3. Опаздывает: 2. Потеряно при передаче: 0. В работе: 16."),
        "{board}"
    );
    assert!(board.contains("Увидели 18 = на доске 18, разница 0"), "{board}");
    assert!(board.contains("/stages/SUBMITTED?condition=stuck"), "{board}");
    assert!(
        stack
            .page("/?lang=en", 200)
            .await
            .contains("Stuck: 3. Late: 2. Lost in hand-over: 0. Open: 16.")
    );
    let fragment = stack.page("/board/fragment?lang=en", 200).await;
    assert!(fragment.trim_start().starts_with("<div class=\"board\""), "{fragment}");

    let stuck = stack.page("/stages/SUBMITTED?condition=stuck&lang=en", 200).await;
    assert!(stuck.contains("ORD-2026-000105") && !stuck.contains("ORD-2026-000104"), "{stuck}");
    assert!(stack.page("/stages/NOPE?lang=en", 200).await.contains("The lifecycle has no stage"));

    let order = stack.page(&format!("/orders/{STUCK}?lang=en"), 200).await;
    for expected in [
        "1 hour 12 minutes so far",
        "Whose turn: the price engine.",
        "attempt 2. More than an hour has passed since the request.",
        "9 operations, 5 traces",
        "linked through a message",
        "worker lost: out of memory",
        "Nobody was paged for this order",
        "Мы рассчитываем стоимость вашего заказа.",
    ] {
        assert!(order.contains(expected), "no {expected:?} in {order}");
    }
    let rework = stack.page("/orders/ORD-2026-000111?lang=en", 200).await;
    assert!(rework.contains("back for rework"), "{rework}");
}

#[tokio::test]
async fn addresses_that_are_wrong_are_answered_in_plain_words() {
    let stack = stack().await;
    let cases = [
        ("/orders/ORD-0".to_owned(), 404, "Looked for “ORD-0”"),
        (format!("/orders/{}", "x".repeat(300)), 400, "not"),
        ("/orders/%FF".to_owned(), 400, "cannot be read"),
        ("/stages/SUBMITTED?cursor=zzz".to_owned(), 400, "damaged or out of date"),
        ("/stages/SUBMITTED?condition=odd".to_owned(), 400, "There is no condition “odd”"),
        (format!("/stages/{}", "x".repeat(300)), 404, "too long"),
        ("/nowhere".to_owned(), 404, "There is no such page"),
        (format!("/search?q={}", "x".repeat(301)), 400, "at most 300"),
        ("/search?q=zzz-nothing".to_owned(), 200, "Nothing was found for “zzz-nothing”"),
    ];
    for (path, status, expected) in cases {
        let mark = if path.contains('?') { '&' } else { '?' };
        let page = stack.page(&format!("{path}{mark}lang=en"), status).await;
        assert!(page.contains(expected), "{path}: no {expected:?} in {page}");
    }
    let missing = stack.page("/orders/ORD-0?lang=en", 404).await;
    assert!(missing.contains("Systems heard from:") && missing.contains("shop"), "{missing}");
}

#[tokio::test]
async fn one_order_found_is_shown_at_once() {
    let stack = stack().await;
    let cases = [
        ("№ ord-2026 - 000106", STUCK),
        ("#000106", STUCK),
        ("MSG-000106", STUCK),
        ("p-77 / 2026", PARTNER),
    ];
    for (q, order) in cases {
        let url = tracker_ui::links::with_query("/search", &[("q", q)]);
        let response = stack.get(&url).await;
        assert_eq!(response.status(), 303, "{q}");
        assert_eq!(response.headers()["location"], format!("/orders/{order}"), "{q}");
    }
    assert!(stack.page("/search?q=ord-2026-0001&lang=en", 200).await.contains("Several match"));
}

#[tokio::test]
async fn a_hostile_order_is_found_and_does_no_harm() {
    let stack = stack().await;
    let page = stack.page(&tracker_ui::links::order(HOSTILE), 200).await;
    assert!(page.contains("&#60;script&#62;alert"), "{page}");
    assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
    // An id that turns the text around is none: the model refuses it.
    let turned = tracker_ui::links::order(&format!("{HOSTILE}\u{202e}gnol"));
    assert!(!stack.page(&turned, 400).await.contains("<script>"));
    let board = stack.page("/", 200).await;
    assert!(!board.contains("<img"), "{board}");
}

#[tokio::test]
async fn every_answer_is_guarded_and_choices_are_kept() {
    let stack = stack().await;
    for path in ["/", "/api/v1/board", "/nowhere", "/readyz"] {
        let response = stack.get(path).await;
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }
    let response = stack.get("/?lang=en&theme=dark").await;
    let cookies = response.headers().get_all("set-cookie").iter();
    let cookies: Vec<_> = cookies.map(|cookie| cookie.to_str().unwrap().to_owned()).collect();
    assert!(cookies.iter().any(|cookie| cookie.starts_with("lang=en; Path=/;")), "{cookies:?}");
    assert!(cookies.iter().any(|cookie| cookie.starts_with("theme=dark; Path=/;")), "{cookies:?}");
    let page = stack.page("/", 200).await;
    let style = page.split("href=\"/assets/").nth(1).unwrap().split('"').next().unwrap();
    let asset = stack.get(&format!("/assets/{style}")).await;
    assert!(asset.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(stack.get("/assets/waybill.0.css").await.status(), 404);
}

#[tokio::test]
async fn an_order_of_many_spans_shows_the_first_and_says_how_many_there_are() {
    let stack = Stack::start(&[]).await;
    let now_ms = chrono::Utc::now().timestamp_millis();
    let mut order = Order::new("ORD-MANY", now_ms).trace(1, HOUR, "custom", "b2c");
    for _ in 0..2_100 {
        order = order.span(1, 0, HOUR, 5, "shop", "SELECT shop.orders");
    }
    stack.insert(&order.stage(1, HOUR, "shop", "INITIATED").done()).await;
    let page = stack.page("/orders/ORD-MANY?lang=en", 200).await;
    assert!(page.contains("The first 2,000 of 2,100 are shown."), "{}", &page[..4_000]);
    assert_eq!(page.matches("SELECT shop.orders").count(), 2_000);

    let request = stack.client.get(stack.url("/orders/ORD-MANY"));
    let response = request.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let sent = response.bytes().await.unwrap().len();
    assert!(sent < 100_000, "{sent} bytes sent");
}
