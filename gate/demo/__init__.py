"""An OCI registry in memory and a signer in cosign's layouts: what ``gate demo`` and the tests run on."""
