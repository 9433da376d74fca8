//! Kinds of entities.

macro_rules! components {
    ($($(#[$note:meta])* $component:ident $name:literal)*) => {
        /// A kind of entity.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Component {
            $($(#[$note])* $component,)*
        }

        impl Component {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$component),*];

            /// Its name in Home Assistant.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$component => $name,)*
                }
            }
        }
    };
}

components! {
    AlarmControlPanel "alarm_control_panel"
    BinarySensor "binary_sensor"
    Button "button"
    Camera "camera"
    Climate "climate"
    Cover "cover"
    /// Since Home Assistant 2026.5.
    Date "date"
    /// Since Home Assistant 2026.5.
    DateTime "datetime"
    DeviceTracker "device_tracker"
    /// No entity: something that happens to a device and that automations wait for.
    DeviceTrigger "device_automation"
    Event "event"
    Fan "fan"
    Humidifier "humidifier"
    Image "image"
    LawnMower "lawn_mower"
    Light "light"
    Lock "lock"
    Notify "notify"
    Number "number"
    Scene "scene"
    Select "select"
    Sensor "sensor"
    Siren "siren"
    Switch "switch"
    /// A reader of tags, which is not an entity.
    Tag "tag"
    Text "text"
    /// Since Home Assistant 2026.5.
    Time "time"
    Update "update"
    Vacuum "vacuum"
    Valve "valve"
    WaterHeater "water_heater"
}

impl Component {
    /// Whether Home Assistant before 2026.5 would drop a whole device for one entity of this kind, which it does not know.
    pub(super) const fn is_recent(self) -> bool {
        matches!(self, Self::Date | Self::DateTime | Self::Time)
    }

    /// Whether it becomes an entity: triggers and tags have no name, no identifier and no availability.
    pub(super) const fn is_entity(self) -> bool {
        !matches!(self, Self::DeviceTrigger | Self::Tag)
    }
}
