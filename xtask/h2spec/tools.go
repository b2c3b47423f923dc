// Package h2spec pins the HTTP/2 conformance suite that `cargo xtask h2spec` builds, and what it
// needs at versions that Go 1.19 compiles.
package h2spec

import _ "github.com/summerwind/h2spec/cmd/h2spec"
