//! One file per outside thing: files, processes, clock, network, system log. They translate, and decide nothing.
