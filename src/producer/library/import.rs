//! Imports in the background: a job like any other, with progress in `job:{id}`.
//!
//! The lines are laid up in the document store first, so the job goes on after a restart and adds
//! no line twice. It ends early when a client asked for its cancellation. Where a service keeps the
//! documents, `forward` sends it the lines.

use serde_json::{Value, json};
use uuid::Uuid;

use super::forward::Waiting;
use super::{Backend, Error, Invalid, Librarian, Line, Shared, checks};
use crate::document::LibraryId;
use crate::store::documents::{Documents, Import};
use crate::topic::{Class, Draft, Kind, TopicName};

/// How many lines become documents at a time.
const PAGE: usize = 64;

/// Lines on their way into a background import. Dropped before [`Background::begin`], they are
/// forgotten at the next start.
pub struct Background {
    librarian: Librarian,
    library: LibraryId,
    job: String,
    waiting: Vec<String>,
    waiting_bytes: usize,
    bytes: usize,
    total: u64,
}

/// Lines are written when they have so many bytes together.
const WRITE_BYTES: usize = 256 * 1024;

impl Librarian {
    /// A background import into a library.
    ///
    /// # Errors
    /// When there is no such library, or the service does not say.
    pub async fn background(&self, library: LibraryId) -> Result<Background, Error> {
        self.library(library).await?;
        self.0.imports_found.wait().await;
        Ok(Background {
            librarian: self.clone(),
            library,
            job: format!("import-{}", Uuid::now_v7()),
            waiting: Vec::new(),
            waiting_bytes: 0,
            bytes: 0,
            total: 0,
        })
    }

    /// Goes on with the imports that the last process left.
    pub(super) async fn resume_imports(self) {
        let found = self.0.documents.imports().await;
        let _ = self.0.imports_found.set(());
        match found {
            Ok(imports) => {
                for import in imports {
                    self.spawn_import(import);
                }
            }
            Err(error) => tracing::warn!(%error, "imports could not be resumed"),
        }
    }

    fn spawn_import(&self, import: Import) {
        let librarian = self.clone();
        self.0
            .drain
            .spawn(async move { librarian.run_import(import).await });
    }

    async fn run_import(self, mut import: Import) {
        match self.0.documents.give_up(import.job.clone()).await {
            Ok(Some(next)) => import = next,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, job = import.job, "an import could not go on");
                return;
            }
        }
        let mut waiting = Waiting::default();
        if import.successful + import.failed == 0 {
            self.report("job_started", &import, &json!({})).await;
        }
        loop {
            if self.0.drain.is_draining() {
                return;
            }
            if self.is_cancelling(&import.job).await {
                self.finish("cancelled", &import, "Import cancelled").await;
                return;
            }
            let page = match &self.0.backend {
                Backend::Embedded(documents) => self.import_page(documents, &mut import).await,
                Backend::Upstream(client) => {
                    self.forward_page(client, &mut import, &mut waiting).await
                }
            };
            match page {
                Ok(true) => {}
                Ok(false) => {
                    self.finish("job_completed", &import, "Import completed")
                        .await;
                    return;
                }
                Err(error) => {
                    let why = format!("Import failed: {error}");
                    self.finish("job_failed", &import, &why).await;
                    return;
                }
            }
            self.report("progress", &import, &json!({})).await;
        }
    }

    /// Makes documents of the next lines. Whether there were any.
    async fn import_page(&self, documents: &Documents, import: &mut Import) -> Result<bool, Error> {
        let lines = documents.lines(import.job.clone(), PAGE).await?;
        if lines.is_empty() {
            return Ok(false);
        }
        let made = lines
            .into_iter()
            .map(|(number, line)| {
                let document = Line::parse(&line).ok();
                let allowed = document.filter(|new| checks::document(new, &self.0.bounds).is_ok());
                (number, allowed)
            })
            .collect();
        let Some(imported) = documents.import(import.job.clone(), made).await? else {
            return Ok(false);
        };
        for change in imported.changes {
            self.tell(change).await;
        }
        *import = imported.import;
        Ok(true)
    }

    async fn finish(&self, name: &str, import: &Import, message: &str) {
        self.report(name, import, &json!({ "message": message }))
            .await;
        if let Err(error) = self.0.documents.forget_import(import.job.clone()).await {
            tracing::warn!(%error, job = import.job, "an import could not be forgotten");
        }
    }

    /// Appends an event of the job.
    async fn report(&self, name_of: &str, import: &Import, more: &Value) {
        let done = import.successful + import.failed;
        let percent = (done * 100).checked_div(import.total).unwrap_or(100);
        let total = import.total;
        let mut data = json!({
            "job_id": import.job,
            "name": "Document import",
            "type": "library_import",
            "progress": percent,
            "message": format!("{done} of {total} lines"),
            "metadata": {
                "library_id": import.library,
                "total": total,
                "successful": import.successful,
                "failed": import.failed,
            },
        });
        if let (Some(data), Some(more)) = (data.as_object_mut(), more.as_object()) {
            data.extend(more.clone());
        }
        let topic = TopicName::new(Kind::Job, &import.job).expect("an import's id is an id");
        let name = name_of.parse().expect("the names of job events are names");
        let draft = Draft::json(topic, name, &data.to_string());
        let is_last = matches!(name_of, "job_completed" | "job_failed" | "cancelled");
        let draft = draft
            .expect("the payload is an object of this job")
            .with_class(is_last.then_some(Class::Terminal));
        if let Err(error) = self.0.hub.append(draft, None).await {
            tracing::warn!(%error, job = import.job, "the progress of an import is not told");
        }
    }

    /// Whether somebody asked for the end of a job, or ended it.
    async fn is_cancelling(&self, job: &str) -> bool {
        let topic = TopicName::new(Kind::Job, job).expect("an import's id is an id");
        // While the store is away nobody could ask.
        let known = self.0.hub.job(&topic).await.ok().flatten();
        known.is_some_and(|(job, _)| job.cancelling().is_some() || job.status().is_final())
    }
}

impl Background {
    /// Takes a line.
    ///
    /// # Errors
    /// When there are too many bytes, or the store refuses.
    pub async fn take(&mut self, line: String) -> Result<(), Error> {
        self.bytes += line.len();
        let max = self.librarian.0.bounds.import_bytes_max.bytes();
        if self.bytes > max {
            self.forget().await;
            return Err(Invalid::TooLong {
                what: "import",
                bytes: self.bytes,
                max,
                key: " (`store.documents.import_bytes_max`)",
            }
            .into());
        }
        self.total += 1;
        self.waiting_bytes += line.len();
        self.waiting.push(line);
        if self.waiting_bytes >= WRITE_BYTES {
            self.write().await?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Error> {
        self.waiting_bytes = 0;
        let lines = std::mem::take(&mut self.waiting);
        let Shared {
            backend, documents, ..
        } = &*self.librarian.0;
        if let Backend::Embedded(documents) = backend {
            documents.library(self.library).await?;
        }
        let (job, library) = (self.job.clone(), self.library);
        Ok(documents.lay_up(job, library, lines).await?)
    }

    /// Begins the job. Returns its id and how many lines it has.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn begin(mut self) -> Result<(String, u64), Error> {
        self.write().await?;
        let documents = &self.librarian.0.documents;
        documents.is_whole(self.job.clone()).await?;
        self.librarian.spawn_import(Import {
            job: self.job.clone(),
            library: self.library,
            total: self.total,
            successful: 0,
            failed: 0,
        });
        Ok((self.job, self.total))
    }

    /// Forgets what was laid up.
    pub async fn forget(&mut self) {
        self.waiting.clear();
        let documents = &self.librarian.0.documents;
        let _ = documents.forget_import(self.job.clone()).await;
    }
}
