//! The command line of each part, as a deployment would write it.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::Stack;
use crate::parts::{Arguments, Part, Socket};
use crate::programs;

impl Stack {
    pub(super) fn arguments(
        &self,
        part: Part,
        listen: &[(Socket, SocketAddr)],
        ports_file: &Path,
    ) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        if part == Part::AlertRules {
            arguments.0.push("run".into());
        }
        if part == Part::Alertmanager {
            self.alertmanager(&mut arguments)?;
        } else {
            arguments.flag("--ports-file", ports_file);
        }
        for (socket, address) in listen {
            arguments.listen(socket, *address);
        }
        match part {
            Part::Engine => {
                arguments.flag("--data", self.folder.path().join("store"));
            }
            Part::Collector => {
                let engine = self.url(Part::Engine)?;
                arguments.flag("--store-url", self.store_url.clone().unwrap_or(engine));
                arguments.flag("--journal", self.folder.path().join("journal"));
            }
            Part::TrackerUi => {
                arguments.flag("--store-url", self.url(Part::Engine)?);
                if let Some((_, address)) = listen.iter().find(|(_, address)| address.port() != 0) {
                    arguments.flag("--public-url", format!("http://{address}"));
                }
            }
            Part::AlertRules => {
                arguments.flag("--store-url", self.url(Part::Engine)?);
                arguments.flag("--rules", programs::workspace().join("alert-rules/rules"));
                arguments.flag("--alertmanager", self.url(Part::Alertmanager)?);
                arguments.flag("--public-url", self.url(Part::TrackerUi)?);
            }
            Part::Alertmanager => {}
        }
        Ok(arguments)
    }

    /// Its configuration is the one we deliver, with the addresses of this stack.
    fn alertmanager(&self, arguments: &mut Arguments) -> Result<()> {
        let path = self.folder.path().join("alertmanager.yml");
        self.write_alertmanager_configuration(&path)?;
        arguments.flag("--config.file", path);
        arguments.flag("--storage.path", self.folder.path().join("alertmanager"));
        // One Alertmanager: no cluster, no further port.
        arguments.flag("--cluster.listen-address", "");
        Ok(())
    }
}
