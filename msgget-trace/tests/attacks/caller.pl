# A user of message queues: steps go in as arguments and are done in their order; each says what came of it, a line on stdout.
#
#   get=KEY,FLAGS   msgget(2), the flags in octal; later steps are about the queue it returned
#   rm[=ID]         IPC_RMID
#   set=UID,MODE    IPC_SET, the mode in octal
#   send            msgsnd(2) of a small message
#   scan=KEY,N,FLAGS  msgget of N keys, one after the other
#   make=N,FLAGS    N queues without a key, as long as there is room
#   turn=N,FLAGS    the same, but each is removed before the next is made
#   fork=N,M        N processes, one after the other, that make M queues each and end
#   brief=N,M       the same, but each removes what it made
#   write=PATH,TEXT into a file
#   pause           until a line comes in on stdin
#
# The first line names the process: its id, pid and IPC namespace, real and effective user; so does each that it forks. Errors are negative errno values.
use strict;
use warnings;
$| = 1;
# To whom a set-user-ID program listens is its own matter: this one was told what to do by the test.
my @steps = map { /(.*)/s } @ARGV;
my $queue = -1;

sub result { my ($got) = @_; defined $got ? $got + 0 : -($! + 0) }

sub get {
    my ($key, $flags) = @_;
    my $got = result(msgget($key, $flags));
    $queue = $got if $got >= 0;
    print "get $key $got\n";
    return $got;
}

sub introduce {
    my @spaces = map { (readlink("/proc/self/ns/$_") // '') =~ /(\d+)/ ? $1 : 0 } 'pid', 'ipc';
    print "process $$ @spaces $< $>\n";
}

introduce();
for my $step (@steps) {
    my ($name, $rest) = split /=/, $step, 2;
    my @of = split /,/, $rest // '';
    if    ($name eq 'get')   { get($of[0], oct $of[1]) }
    elsif ($name eq 'rm')    { print 'rm ', result(msgctl($of[0] // $queue, 0, 0)), "\n" }
    elsif ($name eq 'send')  { print 'send ', (msgsnd($queue, pack('l! a*', 1, 'x'), 0) ? 0 : -($! + 0)), "\n" }
    elsif ($name eq 'scan')  { get($of[0] + $_, oct $of[2]) for 0 .. $of[1] - 1 }
    elsif ($name eq 'make')  { for (1 .. $of[0]) { last if get(0, oct $of[1]) < 0 } }
    elsif ($name eq 'turn')  { for (1 .. $of[0]) { msgctl(get(0, oct $of[1]), 0, 0) } }
    elsif ($name eq 'fork' || $name eq 'brief') {
        for (1 .. $of[0]) {
            my $child = fork // die "fork: $!";
            if ($child) { waitpid $child, 0; next }
            introduce();
            my @made = map { get(0, 0600) } 1 .. $of[1];
            msgctl($_, 0, 0) for $name eq 'brief' ? @made : ();
            exit;
        }
    }
    elsif ($name eq 'set')   {
        # struct msqid64_ds, asm-generic/msgbuf.h: key, uid, gid, cuid, cgid, mode.
        msgctl($queue, 2, my $state) // die "IPC_STAT: $!";
        substr($state, 4, 4) = pack 'L', $of[0];
        substr($state, 20, 4) = pack 'L', oct $of[1];
        print 'set ', result(msgctl($queue, 1, $state)), "\n";
    }
    elsif ($name eq 'write') {
        open my $file, '>', $of[0] or die "$of[0]: $!";
        print $file $of[1] or die "$of[0]: $!";
        close $file or die "$of[0]: $!";
    }
    elsif ($name eq 'pause') { print "pause\n"; defined <STDIN> or exit }
    else                     { die "unknown step $step" }
}
