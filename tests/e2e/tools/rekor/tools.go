//go:build tools

package tools

import _ "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix"
