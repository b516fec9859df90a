//go:build tools

package tools

import _ "github.com/olareg/olareg/cmd/olareg"
