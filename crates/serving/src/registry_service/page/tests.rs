use super::*;

fn read(list: &str, size: i32, token: &str) -> Result<Page<u64>, ServingError> {
    Page::read(list.to_owned(), size, token, number_key)
}

/// The numbers below the token's, newest first.
fn page(items: &[u64], size: i32, token: &str) -> (Vec<u64>, String) {
    let page = read("versions/churn", size, token).unwrap();
    let older = |one: &u64| page.after.is_none_or(|after| *one < after);
    page.cut(items.iter().rev().copied().filter(older), |one| *one)
}

#[test]
fn what_comes_and_goes_between_two_pages_moves_none() {
    let (first, token) = page(&[1, 2, 3, 4, 5], 2, "");
    assert_eq!(first, [5, 4]);
    // One is new, and the last that was told is gone.
    let (second, token) = page(&[1, 2, 3, 5, 6], 2, &token);
    assert_eq!(second, [3, 2]);
    let (third, token) = page(&[1, 6], 2, &token);
    assert_eq!((third, token.as_str()), (vec![1], ""));
}

#[test]
fn a_page_that_is_full_and_the_last_says_so() {
    let (all, token) = page(&[1, 2], 2, "");
    assert_eq!((all, token.as_str()), (vec![2, 1], ""));
    let (none, token) = page(&[], 2, "");
    assert_eq!((none.len(), token.as_str()), (0, ""));
}

#[test]
fn a_page_has_a_thousand_items_if_nobody_says_otherwise_and_at_most() {
    for (size, expected) in [(0, 1000), (1, 1), (1000, 1000), (1001, 1000), (i32::MAX, 1000)] {
        assert_eq!(read("models", size, "").unwrap().size, expected);
    }
    assert!(read("models", -1, "").is_err());
}

#[test]
fn only_a_token_of_the_same_list_is_one() {
    let list = "versions/churn";
    assert_eq!(read(list, 1, "versions/churn:7").unwrap().after, Some(7));
    for token in [
        "7",
        ":7",
        "versions/churn",
        "versions/churn:",
        "versions/churn:x",
        "versions/churn:+7",
        "versions/churn:-7",
        "versions/churn:7 ",
        "versions/churn:99999999999999999999",
        "versions/churn-2:7",
        "versions/visits:7",
        "events/churn:7",
    ] {
        assert!(read(list, 1, token).is_err(), "{token}");
    }
}
