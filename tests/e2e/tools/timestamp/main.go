// Timestamp-server is the server of github.com/sigstore/timestamp-authority with the flags that the suite gives it.
//
// Its own program answers for metrics at port 2112 whatever it is told, so of two on one machine the second ends.
package main

import (
	"log"
	"os"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

const (
	timeout = 30 * time.Second // to read and to write; the default of its own program, as is all that follows
	policy  = "1.3.6.1.4.1.57264.2"
)

func main() {
	flags := pflag.NewFlagSet("timestamp-server", pflag.ExitOnError)
	for _, name := range []string{"host", "timestamp-signer", "file-signer-key-path", "file-signer-passwd", "certificate-chain-path"} {
		flags.String(name, "", "as of timestamp-server")
	}
	flags.Int("port", 0, "as of timestamp-server")
	flags.Bool("disable-ntp-monitoring", true, "nothing here monitors")
	flags.String("timestamp-signer-hash", "sha256", "as of timestamp-server")
	flags.String("default-policy-oid", policy, "as of timestamp-server")
	flags.StringSlice("accepted-policy-oids", []string{policy}, "as of timestamp-server")
	flags.Bool("enforce-intermediate-eku", true, "as of timestamp-server")
	flags.Uint64("max-request-body-size", 1<<20, "as of timestamp-server")
	_ = flags.Parse(os.Args[1:])
	if err := viper.BindPFlags(flags); err != nil {
		log.Fatal(err)
	}
	http := server.NewRestAPIServer(viper.GetString("host"), viper.GetInt("port"), []string{"http"}, false, timeout, timeout)
	if err := http.Serve(); err != nil {
		log.Fatal(err)
	}
}
