//! Lists of any length, a page at a time: none is cut short, and no answer of the API server is longer than a page.

use futures::stream::{self, Stream, TryStreamExt};
use kube::Resource;
use kube::api::{Api, ListParams, ObjectList, PartialObjectMeta};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// How many objects are asked for at once.
pub(crate) const PAGE: u32 = 500;

/// Every object of a list, as its pages come.
pub(crate) fn each<K>(api: &Api<K>, params: &ListParams) -> impl Stream<Item = Result<K, kube::Error>> + use<K>
where
    K: Clone + DeserializeOwned + Debug,
{
    let api = api.clone();
    paged(params, move |params| {
        let api = api.clone();
        async move { api.list(&params).await }
    })
}

/// Every object of a list.
///
/// # Errors
/// Where a page of it is refused; what came before is not given then.
pub(crate) async fn all<K>(api: &Api<K>, params: &ListParams) -> Result<Vec<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    each(api, params).try_collect().await
}

/// The metadata of every object of a list.
///
/// # Errors
/// As of [`all`].
pub(crate) async fn all_metadata<K>(api: &Api<K>, params: &ListParams) -> Result<Vec<PartialObjectMeta<K>>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let fetch = |params| async move { api.list_metadata(&params).await };
    paged(params, fetch).try_collect().await
}

fn paged<T, Fetch, Page>(
    params: &ListParams,
    fetch: Fetch,
) -> impl Stream<Item = Result<T, kube::Error>> + use<T, Fetch, Page>
where
    T: Clone,
    Fetch: Fn(ListParams) -> Page,
    Page: Future<Output = Result<ObjectList<T>, kube::Error>>,
{
    let first = params.clone().limit(PAGE);
    let pages = stream::try_unfold((Some(first), fetch), |(params, fetch)| async move {
        let Some(params) = params else { return Ok(None) };
        let page = fetch(params.clone()).await?;
        let token = page.metadata.continue_.filter(|token| !token.is_empty());
        let next = token.map(|token| params.continue_token(&token));
        let items = stream::iter(page.items.into_iter().map(Ok::<T, kube::Error>));
        Ok::<_, kube::Error>(Some((items, (next, fetch))))
    });
    pages.try_flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::{ListMeta, TypeMeta};
    use std::sync::Mutex;

    #[tokio::test]
    async fn what_lies_on_later_pages_belongs_to_the_list_too() {
        let asked = Mutex::new(Vec::new());
        let fetch = |params: ListParams| {
            asked
                .lock()
                .unwrap()
                .push((params.limit, params.continue_token.clone()));
            let (items, next) = match params.continue_token.as_deref() {
                None => (vec![1, 2], Some("second".to_owned())),
                Some("second") => (vec![3], Some("third".to_owned())),
                _ => (vec![4], Some(String::new())),
            };
            let metadata = ListMeta {
                continue_: next,
                ..ListMeta::default()
            };
            let types = TypeMeta::default();
            async move { Ok(ObjectList { types, metadata, items }) }
        };
        let all: Vec<i32> = paged(&ListParams::default(), fetch).try_collect().await.unwrap();
        assert_eq!(all, [1, 2, 3, 4]);
        let token = |text: &str| (Some(PAGE), Some(text.to_owned()));
        assert_eq!(
            *asked.lock().unwrap(),
            [(Some(PAGE), None), token("second"), token("third")]
        );
    }

    #[tokio::test]
    async fn a_list_of_which_a_page_is_refused_is_none() {
        let fetch = |params: ListParams| async move {
            match params.continue_token {
                None => Ok(ObjectList {
                    types: TypeMeta::default(),
                    metadata: ListMeta {
                        continue_: Some("second".to_owned()),
                        ..ListMeta::default()
                    },
                    items: vec![1],
                }),
                Some(_) => Err(kube::Error::LinesCodecMaxLineLengthExceeded),
            }
        };
        let all: Result<Vec<i32>, _> = paged(&ListParams::default(), fetch).try_collect().await;
        assert!(all.is_err());
    }
}
