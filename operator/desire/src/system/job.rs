//! What runs at set times.

use super::pod::{self, Part};
use super::site::Site;
use crate::manifest::{pod_labels, wanted};
use crate::names;
use crate::object::{ObjectKind, WantedObject};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use maru_crds::{ConcurrencyPolicy, ScheduledJob};

/// The CronJob of a job. While the system is suspended no run begins; one that is under way ends by itself.
pub(super) fn cron_job(site: &Site<'_>, job: &ScheduledJob) -> WantedObject {
    let template = PodTemplateSpec {
        metadata: Some(site.pod_metadata(&job.name)),
        spec: Some(pod::spec(&site.key.name, &Part::from(job))),
    };
    // A Job is the CronJob's to make and to take away, so it does not carry the label of what Maru writes.
    let run_labels = pod_labels(site.agency, Some(&site.key.name), Some(&job.name));
    let spec = CronJobSpec {
        concurrency_policy: Some(concurrency(job.concurrency_policy).to_owned()),
        job_template: JobTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(run_labels),
                ..ObjectMeta::default()
            }),
            spec: Some(JobSpec {
                active_deadline_seconds: job.active_deadline_seconds,
                backoff_limit: Some(job.backoff_limit),
                template,
                ..JobSpec::default()
            }),
        },
        schedule: job.schedule.clone(),
        suspend: Some(site.spec().suspended),
        time_zone: job.time_zone.clone(),
        ..CronJobSpec::default()
    };
    let name = names::job_name(&site.key.name, &job.name);
    let cron_job = CronJob {
        metadata: site.metadata(name, Some(&job.name)),
        spec,
        status: None,
    };
    wanted(ObjectKind::CronJob, &cron_job)
}

const fn concurrency(policy: ConcurrencyPolicy) -> &'static str {
    match policy {
        ConcurrencyPolicy::Allow => "Allow",
        ConcurrencyPolicy::Forbid => "Forbid",
        ConcurrencyPolicy::Replace => "Replace",
    }
}
