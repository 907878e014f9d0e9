//! The Gateway API's custom resource definitions, for tests of routes. No gateway serves them.

use std::{fs, path::Path};

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};

use crate::error::{ClusterError, Doing};

/// Applies every object in the folder's YAML files.
pub(crate) async fn install(client: &Client, folder: &Path) -> Result<(), ClusterError> {
    let files = fs::read_dir(folder).doing(|| format!("reading {}", folder.display()))?;
    let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
    // The policy that guards the definitions comes after them, as its name has it.
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).doing(|| format!("reading {}", file.display()))?;
        let objects: Vec<DynamicObject> = serde_saphyr::from_multiple(&text).map_err(|error| ClusterError::Format {
            what: "Gateway API",
            message: format!("{}: {error}", file.display()),
        })?;
        for object in objects {
            apply(client, &object).await?;
        }
    }
    Ok(())
}

async fn apply(client: &Client, object: &DynamicObject) -> Result<(), ClusterError> {
    let types = object.types.clone().unwrap_or_default();
    let kind = GroupVersionKind::try_from(&types).map_err(|error| ClusterError::Format {
        what: "Gateway API",
        message: error.to_string(),
    })?;
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let parameters = PatchParams::apply("maru-test-cluster").force();
    api.patch(name, &parameters, &Patch::Apply(object)).await?;
    Ok(())
}
