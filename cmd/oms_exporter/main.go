// The oms_exporter binary exports the state of the tasks of OceanBase Migration
// Service (OMS) to Prometheus.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	_ "time/tzdata" // container images and minimal hosts have no time zones

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/common/version"
)

//go:generate go test -run=^(TestReference|TestBounds|TestFields|TestFieldsOfAnswersAboutTasks|TestProgram|TestCheckPrintsWhatItFinds|TestPages|TestTasksInATerminal|TestAProbeExplainsItself)$ -update .

func main() {
	knowVersion()
	stdlog.SetOutput(io.Discard) // net/http quotes there what servers send without being asked
	version.Version = cmp.Or(version.Version, builtVersion())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(os.Stderr, "oms_exporter: error:", line)
		}
		os.Exit(exitStatus(err))
	}
}

// builtVersion returns the version of a program that was not built as a release.
func builtVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}

// run is the program. It runs until ctx is done, which is a success.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	command, err := parse(args, stdout)
	if err != nil || command == nil {
		return err
	}
	return command(ctx, stdout, stderr)
}

// A usageError is a mistake in flags, environment or files that they name.
type usageError struct{ error }

// Unwrap returns the error without its status.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitStatus is 2 for a mistake of the user and 1 for any other failure.
func exitStatus(err error) int {
	if errors.As(err, &usageError{}) {
		return 2
	}
	return 1
}

// newLogger returns a logger with the format and the minimum level of the flags.
func newLogger(w io.Writer, settings logSettings) log.Logger {
	w = log.NewSyncWriter(w)
	logger := log.NewLogfmtLogger(w)
	if settings.format == "json" {
		logger = log.NewJSONLogger(w)
	}
	return level.NewFilter(logger, level.Allow(level.ParseDefault(settings.level, level.InfoValue())))
}

// stamped adds the time to every line. [bridged] loggers add it themselves.
func stamped(logger log.Logger) log.Logger {
	return log.With(logger, "time", log.DefaultTimestampUTC)
}
