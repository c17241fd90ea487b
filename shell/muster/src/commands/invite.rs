//! `muster invite`: address, CA pin and token in one paste.

use clap::{Args, Subcommand};
use muster_wire::grant::CreatedGrant;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::Format;

use super::grant;

/// Invites.
#[derive(Debug, Subcommand)]
pub(crate) enum Invite {
    /// Make an invite.
    Create(Create),
}

/// An invite to make.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Show it as a QR code too.
    #[arg(long)]
    qr: bool,
    /// What it permits.
    #[command(flatten)]
    grant: grant::Terms,
}

/// Runs `muster invite`.
pub(crate) async fn run(context: &Context, verb: Invite) -> Result {
    let Invite::Create(args) = verb;
    let invite: CreatedGrant = context.client().await?.create_invite(&args.grant.into()).await?;
    context.out.show(&invite)?;
    if args.qr && context.out.format == Format::Table {
        context.out.text(&format!("\n{}", qr(&invite.invite)?))?;
    }
    Ok(())
}

/// What to type on the machine. The invite travels by standard input, never as an argument.
pub(crate) fn next_command(invite: &str) -> String {
    format!("    echo '{}' | muster agent run --invite-file -", crate::output::escape(invite))
}

fn qr(text: &str) -> Result<String> {
    let code = QrCode::new(text.as_bytes());
    let code = code
        .map_err(|error| Failure::new(Exit::Failed, "the invite does not fit a QR code").because(&error))?;
    Ok(code.render::<Dense1x2>().quiet_zone(true).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_of_usual_length_fits_a_code_of_even_lines() {
        let text = qr(&format!("muster1:{}", "a".repeat(330))).expect("fits");
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.len() > 20 && widths.iter().all(|width| *width == widths[0]));
    }
}
