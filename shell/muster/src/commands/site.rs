//! `muster site`: the named parts of a tenant, and their enrollment keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_client::collect;
use muster_wire::site::{
    CreateSite, ImportKey as Import, ImportedKey, KeyForm, RotateKey as Rotation, RotatedKey, Site as Shape,
};

use super::engagement;
use super::lists::{Filter, Listed, or_dash};
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Human, details, relative, table};

/// Sites.
#[derive(Debug, Subcommand)]
pub(crate) enum Site {
    /// List sites.
    #[command(visible_alias = "list")]
    Ls(Filter),
    /// Make a site.
    Create(Create),
    /// Make a new enrollment key; older ones let nobody in from now on, enrolled machines stay.
    RotateKey(RotateKey),
    /// Bring an enrollment key along from a GuruConnect server, which has it as an Argon2id hash; older ones let nobody in
    /// from now on.
    ImportKey(ImportKey),
}

/// A site to make.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its short name: letters, digits, `-`, `_`, `.`.
    #[arg(value_name = "CODE", required_unless_present = "coded")]
    code: Option<String>,
    /// Its short name.
    #[arg(long = "code", id = "coded", value_name = "CODE", conflicts_with = "code", hide = true)]
    coded: Option<String>,
    /// A person must approve each new machine.
    #[arg(long, visible_alias = "approve")]
    approval: bool,
    /// Machines may not ask to enroll without a secret.
    #[arg(long)]
    no_requests: bool,
    /// What happens when known hardware comes back under another key.
    #[arg(long, value_name = "POLICY", value_parser = ["never", "keyless_only", "offline_only", "same_name"])]
    reimage: Option<String>,
    /// The most machines that may live here at once.
    #[arg(long, value_name = "N")]
    seats: Option<u32>,
}

/// Which site's key.
#[derive(Debug, Args)]
pub(crate) struct RotateKey {
    /// The site's code.
    #[arg(value_name = "SITE")]
    site: String,
    /// How the key is written: cek for existing clients that take no other.
    #[arg(long, value_name = "FORM", default_value = "native", value_parser = ["native", "cek"])]
    form: String,
}

/// A key that another server knows by a hash alone.
#[derive(Debug, Args)]
pub(crate) struct ImportKey {
    /// The site's code.
    #[arg(value_name = "SITE")]
    site: String,
    /// The file with the hash in PHC form ($argon2id$v=19$m=19456,t=2,p=1$…); - for what comes in.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The generation it is there, to be kept: v3.
    #[arg(long, value_name = "vN", value_parser = generation)]
    generation: Option<u32>,
    /// Its fingerprint there: 7F2A.
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
}

fn generation(text: &str) -> std::result::Result<u32, std::num::ParseIntError> {
    text.strip_prefix(['v', 'V']).unwrap_or(text).parse()
}

/// Runs `muster site`.
pub(crate) async fn run(context: &Context, verb: Site) -> Result {
    let client = context.client().await?;
    let out = context.out;
    match verb {
        Site::Ls(filter) => {
            let (most, start) = (filter.part.most(), filter.part.cursor.clone());
            let (client, filter) = (&client, &filter);
            let page = collect(most, start, |cursor, limit| async move {
                client.sites(&filter.query(None, cursor, limit)).await
            });
            out.show(&page.await?)
        }
        Site::Create(args) => out.show(&client.create_site(&args.into()).await?),
        Site::RotateKey(RotateKey { site, form }) => {
            let form = if form == "cek" { KeyForm::Cek } else { KeyForm::Native };
            out.show(&client.rotate_site_key(&site, &Rotation { form }).await?)
        }
        Site::ImportKey(ImportKey { site, file, generation, fingerprint }) => {
            let phc = engagement::read(&file)?.trim().to_owned();
            let import = Import { phc, version: generation, fingerprint };
            out.show(&client.import_site_key(&site, &import).await?)
        }
    }
}

impl From<Create> for CreateSite {
    fn from(args: Create) -> Self {
        Self {
            code: args.code.or(args.coded).unwrap_or_default(),
            approval: args.approval,
            requests: !args.no_requests,
            reimage: args.reimage,
            seats: args.seats,
        }
    }
}

impl Listed for Shape {
    const EMPTY: &'static str = "No sites yet. Make one:\n\n    muster site create CODE";

    fn table(items: &[Self], now: Timestamp) -> String {
        let header = ["CODE", "ENROLLMENT KEY", "APPROVAL", "REQUESTS", "RE-IMAGE", "SEATS", "CREATED"];
        table(
            header,
            items.iter().map(|site| {
                [
                    site.code.clone(),
                    or_dash(site.enrollment_key.as_deref()),
                    yes(site.approval),
                    yes(site.requests),
                    site.reimage.clone(),
                    or_dash(site.seats.map(|seats| seats.to_string()).as_deref()),
                    relative(now, site.created_at),
                ]
            }),
        )
    }
}

/// `yes` or `no`.
pub(super) fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

impl Human for Shape {
    fn human(&self, now: Timestamp) -> String {
        details([
            ("id", self.id.clone()),
            ("code", self.code.clone()),
            ("enrollment key", self.enrollment_key.clone().unwrap_or_default()),
            ("approval", yes(self.approval)),
            ("requests", yes(self.requests)),
            ("re-image", self.reimage.clone()),
            ("seats", self.seats.map(|seats| seats.to_string()).unwrap_or_default()),
            ("created", relative(now, self.created_at)),
        ])
    }
}

impl Human for RotatedKey {
    fn human(&self, _: Timestamp) -> String {
        details([
            ("site", self.site.clone()),
            ("generation", self.generation.clone()),
            ("grant", self.grant.clone()),
            ("key", self.key.clone()),
            ("invite", self.invite.clone()),
        ])
    }
}

impl Human for ImportedKey {
    fn human(&self, _: Timestamp) -> String {
        details([
            ("site", self.site.clone()),
            ("generation", self.generation.clone()),
            ("grant", self.grant.clone()),
            ("shown by a machine", yes(self.shown)),
        ])
    }
}
